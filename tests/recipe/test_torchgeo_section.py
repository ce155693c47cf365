"""The recipe section of TorchGeo's data sets."""

import pytest

from rsmeta.errors import RecipeError
from rsmeta.recipe import Recipe
from rsmeta.recipe.torchgeo import KNOWN_SETS
from rsmeta.recipe_reading import read_recipe, validate


def recipe(**data):
    return validate(Recipe, {"name": "x", "data": {"source": "torchgeo", **data}})


@pytest.mark.parametrize("dataset", KNOWN_SETS)
def test_a_known_set_reads_back_as_itself(dataset):
    once = recipe(dataset=dataset, root="r")
    assert validate(Recipe, once.model_dump(mode="json")) == once


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"dataset": "EuroSAT", "sensor": "rgb"}, ["'rgb'", "allowed: sentinel2-l1c"]),
        ({"dataset": "So2Sat", "bands": ["B01"]}, ["no band B01", "B8A"]),
        ({"dataset": "EuroSAT", "bands": ["B4"]}, ["'B4'", "B04"]),
        ({"dataset": "EuroSAT", "test_split": "validation"}, ["no split validation", "val, test"]),
        ({"dataset": "EuroSAT", "train_splits": ["train", "test"]}, ["stands twice"]),
        ({"dataset": "EuroSAT", "train_splits": ["val", "val"]}, ["stands twice"]),
        ({"dataset": "EuroSAT", "test_draw": {}}, ["for data sets without splits"]),
        ({"dataset": "PatternNet", "test_split": "test"}, ["for data sets without splits"]),
        ({"dataset": "Other", "sensor": "rgb"}, ["splits of Other are not known", "test_draw"]),
        ({"dataset": "Other", "sensor": "rgb", "test_split": "test"}, ["not known"]),
        ({"dataset": "Other"}, ["data.sensor: is missing"]),
    ],
)
def test_a_section_that_cannot_be_meant_is_one_line(data, parts):
    with pytest.raises(RecipeError) as caught:
        recipe(root="r", **data)
    [line] = caught.value.problems
    assert all(part in line for part in parts)


def test_another_sensor_of_a_set_is_an_override_like_any_other(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ndata: {source: torchgeo, dataset: So2Sat, root: r, imbalance: 5}\n")
    data = read_recipe(Recipe, path, ["data.sensor=sentinel1"]).data
    assert (data.imbalance, data.bands) == (5, ["VH", "VV"])
