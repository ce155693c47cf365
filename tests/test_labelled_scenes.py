"""Labelled scenes from label to map, through the functions and the command users call."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rsmeta.bands import SimulatedSensor
from rsmeta.cli import app
from rsmeta.data.simulator.product import write_scene
from rsmeta.data.sources import load_data
from rsmeta.finetuning import finetune
from rsmeta.prediction import predict
from rsmeta.prediction_options import PredictionOptions
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.scenes import agreement

ROOT = Path(__file__).parent.parent
CLASSES = ["field", "forest", "open water"]


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    return write_scene(folder / "scene.tif", SimulatedSensor.OPTICAL, 704, 0)


@pytest.fixture
def scene_recipe(product, tiny_recipe):
    data = {
        "source": "labelled_scene",
        "scenes": [{"raster": product.scene, "labels": product.polygons}],
        "class_column": "class",
        "sensor": "rgb",
        "classes": CLASSES,
        "chip": 32,
        "block_metres": 200,
        "most_chips": 8,
    }
    return tiny_recipe(
        data=data,
        inner={"epochs": 1, "batch_size": 16, "learning_rate": 0.03},
        outer={"every": 2, "batch_size": 8},
    )


def test_a_labelled_scene_trains_a_model_that_maps_the_scene(product, scene_recipe, tmp_path):
    run = finetune(scene_recipe)
    assert run.metrics.summary()["average"] > 0.7
    [prediction] = predict(
        [product.scene], run.folder, tmp_path / "maps", PredictionOptions(stride=32)
    )
    assert set(prediction.pixels) == set(CLASSES)
    assert agreement(prediction.classes, product.truth).overall > 0.55


def test_validate_tells_chips_and_labels_of_each_class(scene_recipe, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(scene_recipe.model_dump_json(), encoding="utf-8")
    done = CliRunner().invoke(app, ["validate", str(recipe)])
    assert done.exit_code == 0, done.output
    data = load_data(scene_recipe)
    counts = [np.bincount(part.labels) for part in (data.train, data.test)]
    for name, trained, tested in zip(CLASSES, *counts, strict=True):
        assert f"  {name}: {trained} training and {tested} test chips from " in done.output
    assert " × polygon that covers too little of a chip" in done.output
    assert " × feature of a class not in data.classes" in done.output
    footprints = data.train.footprints()
    assert len(footprints) == len(data.train)


def test_the_recipe_of_simulated_scenes_reads_what_the_simulator_writes(tmp_path, monkeypatch):
    """On a smaller scene than the recipe names."""
    monkeypatch.chdir(tmp_path)
    write_scene(tmp_path / "scene.tif", SimulatedSensor.MULTISPECTRAL, 896, 0)
    recipe = read_recipe(Recipe, ROOT / "recipes" / "labelled_scene.yaml", ["data.most_chips=3"])
    data = load_data(recipe)
    assert data.classes[-1] == "background"
    assert min(data.train_counts) > 0


@pytest.fixture
def beaufort(shared, monkeypatch, tmp_path):
    """The recipe of a real scene of one file a band, in degrees, with a shapefile in UTM."""
    monkeypatch.setenv("RSMETA_SHARED", str(shared))
    overrides = [f"runs={tmp_path / 'runs'}", "inner.epochs=1"]
    return read_recipe(Recipe, ROOT / "recipes" / "beaufort_bands.yaml", overrides)


def test_chips_of_a_real_scene_of_a_file_a_band(beaufort):
    data = load_data(beaufort)
    assert data.classes == (
        "Emergent Wetland", "Forested Wetland", "Herbaceous", "Sand", "Subtidal Haline", "WetSand",
    )  # fmt: skip
    assert data.train_counts.min() >= 1
    chips = [part.read(index) for part in (data.train, data.test) for index in range(len(part))]
    assert {chip.shape for chip in chips} == {(8, 8, 8)}
    assert all(np.isfinite(chip).all() for chip in chips)
    red = {name: [] for name in data.classes}
    for index, label in enumerate(data.train.labels):
        red[data.classes[label]].append(data.train.read(index)[3].mean())
    assert min(red["Sand"]) > max(red["Subtidal Haline"])  # bright beaches, dark water
    train, test = data.train.footprints(), data.test.footprints()
    assert not train.intersects(test.union_all()).any()


@pytest.mark.slow
def test_finetune_on_a_real_labelled_scene(beaufort):
    run = finetune(beaufort)
    assert run.metrics.summary()["overall"] > 0.3  # six classes
