# `make demo` and `make test` need Python 3.11 or newer and pip, nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test schema figures clean

demo: .venv/demo.stamp
	mkdir -p demo
	$(BIN)/rsmeta finetune recipes/sar_cross_spectral.yaml
	$(BIN)/rsmeta simulate --sensor sar --size 1024 --seed 7 demo/scene.tif
	$(BIN)/rsmeta predict demo/scene.tif --out demo --truth demo/scene_truth.tif
	@echo
	@echo "map:      demo/scene_classes.tif"
	@echo "polygons: demo/scene_polygons.gpkg"
	@echo "report:   runs/latest/report.html"

test: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow or not slow" -n auto --dist loadfile

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/test.stamp: .venv/demo.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

schema: .venv/demo.stamp
	$(BIN)/rsmeta schema > recipes/recipe.schema.json

clean:
	rm -rf .venv demo predictions
