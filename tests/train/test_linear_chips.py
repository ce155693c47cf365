"""Linear radar chips, one of them broken, through training and back through prediction."""

import json

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from safetensors import safe_open

from rsmeta.data.datamodule import ChipDataset
from rsmeta.data.inspection import load_inspected
from rsmeta.errors import DataError
from rsmeta.finetuning import finetune
from rsmeta.model_card import ModelCard
from rsmeta.pruning import KeepShare, prune_run
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.runs import MODEL, RECIPE, load_run
from rsmeta.scenes import predict_scene

SIZE = 16


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", **profile) as target:
        target.write(values)
    return path


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    """Speckled amplitudes of two classes, uint16, some 0; (folder, path of a broken chip)."""
    root, rng = tmp_path_factory.mktemp("linear"), np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        # Hardly different, so that no probability is 0 or 1.
        for label, level in (("water", 60), ("town", 66)):
            for number in range(count):
                values = (level * rng.exponential(size=(2, SIZE, SIZE))).astype(np.uint16)
                values[:, 0, :3] = 0
                write(root / split / label / f"{number}.tif", values)
    broken = root / "train" / "town" / "broken.tif"
    broken.write_text("no raster")
    return root, broken


@pytest.fixture(scope="module")
def recipe(chips, tmp_path_factory):
    root, _ = chips
    data = {"source": "folder", "root": root, "sensor": "sar-amplitude", "bands": ["VV", "VH"]}
    data |= {"units": {"to_db": "amplitude"}, "clip": "percentiles", "on_error": "skip"}
    return Recipe.model_validate(
        {
            "name": "linear",
            "runs": tmp_path_factory.mktemp("work") / "runs",
            "data": data,
            "inner": {"epochs": 1, "batch_size": 4},
            "outer": {"every": 2, "batch_size": 4},
            "compute": {"precision": "float32"},
        }
    )


@pytest.fixture(scope="module")
def run(recipe):
    return finetune(recipe).folder


def test_skipped_chips_are_listed_in_the_run(run, chips):
    skipped = pd.read_csv(run / "skipped.csv")
    assert list(skipped) == ["path", "split", "label", "reason"]
    (row,) = skipped.itertuples()
    assert (row.path, row.split, row.label) == (str(chips[1]), "train", "town")
    assert "broken.tif" in row.reason
    assert json.loads((run / "metrics.json").read_text())["train_chips"] == 12


def test_the_statistics_are_kept_in_the_run(run, recipe):
    bands = pd.read_csv(run / "bands.csv")
    assert bands["band"].tolist() == ["VV", "VH"]
    assert set(bands["unit"]) == {"dB"}
    assert (bands["nodata"] > 3 / SIZE**2).all()
    model = load_run(run)
    inspected = load_inspected(recipe)
    assert model.card.statistics == inspected.statistics
    np.testing.assert_allclose(bands["percentile_2"], model.card.statistics.limits.low)


def test_a_scene_of_a_chip_s_raw_values_gets_the_chip_s_probabilities(run, recipe, tmp_path):
    inspected = load_inspected(recipe)
    model = load_run(run, merged=True)
    test = inspected.data.test
    items = ChipDataset(test, inspected.statistics, recipe.backbone.image_size, None, 0)
    for index in range(len(test)):
        with torch.no_grad():
            logits = model.classifier(items[index][0][None])[0]
        expected = (logits / model.card.temperature).softmax(-1)
        with rasterio.open(test.describe(index)) as chip:
            raw = chip.read()
        scene = write(tmp_path / f"{index}.tif", raw)
        products = predict_scene(scene, model, tmp_path / "out")
        with rasterio.open(products.confidence) as confidence:
            found = confidence.read(1)
        with rasterio.open(products.classes) as classes:
            (label,) = set(np.unique(classes.read(1))) - {255}
        # A pixel of zeros in every band has no data.
        empty = (raw == 0).all(axis=0)
        assert np.array_equal(np.isnan(found), empty) and empty.sum() >= 3
        assert 0.5 < expected.max() < 0.999
        np.testing.assert_allclose(found[~empty], float(expected.max()), rtol=1e-4)
        assert label == int(expected.argmax())


def test_probabilities_depend_on_the_conversion(run, recipe, chips):
    """Without it the same chips would be classified otherwise: the test above can fail."""
    model = load_run(run, merged=True)
    with rasterio.open(chips[0] / "test" / "water" / "0.tif") as chip:
        raw = chip.read().astype(np.float32)
    fill = model.fill[:, None, None]
    converted = np.where(raw > 0, model.convert(raw), fill).astype(np.float32)
    found, other = model.probabilities(np.stack([converted, np.where(raw > 0, raw, fill)]))
    assert np.abs(found - other).max() > 0.01


def test_a_pruned_run_skips_and_clips_likewise(run):
    pruned = prune_run(run, KeepShare(0.5)).folder
    assert (pruned / "skipped.csv").read_bytes() == (run / "skipped.csv").read_bytes()
    assert (pruned / "bands.csv").read_bytes() == (run / "bands.csv").read_bytes()
    assert load_run(pruned).card.statistics == load_run(run).card.statistics


def test_training_stops_at_a_broken_chip_unless_told_otherwise(recipe, tmp_path):
    data = recipe.data.model_copy(update={"on_error": "stop"})
    stopping = recipe.model_copy(update={"data": data, "runs": tmp_path / "runs"})
    with pytest.raises(DataError, match=r"broken\.tif") as caught:
        finetune(stopping)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "runs").iterdir())


def test_cards_without_limits_are_read(run):
    with safe_open(run / MODEL, framework="pt") as stored:
        values = json.loads(stored.metadata()["rsmeta"])
    del values["statistics"]["limits"]
    assert ModelCard.from_json(json.dumps(values)).statistics.limits is None
    assert read_recipe(Recipe, run / RECIPE).data.units.to_db == "amplitude"
