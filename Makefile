# `make demo` and `make test` need Python 3.11 or newer and pip, nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test schema trust lowest coverage mutation wheel sbom audit clean

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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow or not slow" -n auto --dist loadfile \
		--no-loadscope-reorder

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

# Counts of the checks that a result can be trusted; PARTS="kills ddp" for some of them.
trust: .venv/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/trust.py $(if $(PARTS),--parts $(PARTS))

lowest: .venv/test.stamp .venv-lowest/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/trust.py --parts versions lowest

.venv-lowest/test.stamp: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check \
		--constraint constraints-lowest.txt -e '.[test]'
	@touch $@

coverage: .venv/test.stamp
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -m "slow or not slow" -n auto --dist loadfile \
		--no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python benchmarks/trust.py --parts coverage

# A sample of mutants of peft/, meta/ and scenes/; goes on where it was interrupted.
mutation: .venv/test.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check 'mutmut>=3.8'
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py --seed $(or $(SEED),0)

wheel: .venv/test.stamp
	$(BIN)/python -m hatchling build -t wheel

sbom: .venv-release/wheel.stamp .venv-tools/tools.stamp
	mkdir -p dist
	.venv-tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.json .venv-release/bin/python

# Strict: what cannot be looked up fails it. The package itself is in no register.
audit: .venv-release/wheel.stamp .venv-tools/tools.stamp
	mkdir -p dist
	.venv-release/bin/pip freeze --exclude rsmeta > dist/requirements.txt
	.venv-tools/bin/pip-audit --strict --disable-pip --no-deps --requirement dist/requirements.txt

# What users get, and nothing else; with the tools apart from it.
.venv-release/wheel.stamp: pyproject.toml
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/pip install --quiet --disable-pip-version-check .
	@touch $@

.venv-tools/tools.stamp:
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=5' 'pip-audit>=2.7'
	@touch $@

clean:
	rm -rf .venv .venv-* demo predictions dist mutants
