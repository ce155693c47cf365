import geopandas as gpd
import numpy as np
import pytest
from scene_files import checkerboard, labels_of, ramp, write_raster
from shapely import box

from rsmeta.data.chips import ChipArray, ChipSet, LabelledData
from rsmeta.data.combined import combine
from rsmeta.data.sources import load_data
from rsmeta.errors import DataError, RecipeError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate

SIDE = 160


class Placed(ChipSet):
    """Chips at places."""

    def __init__(self, boxes, labels, crs="EPSG:32631"):
        self._boxes = gpd.GeoSeries([box(*b) for b in boxes], crs=crs)
        self.labels = np.array(labels, dtype=np.int64)

    def read(self, index):
        return np.full((1, 2, 2), index, dtype=np.float32)

    def describe(self, index):
        return f"placed {index}"

    def footprints(self):
        return self._boxes


def in_memory(values, labels):
    return ChipArray(np.float32(values)[:, None, None, None], np.array(labels, dtype=np.int64))


def test_chips_and_classes_are_those_of_all_parts():
    first = LabelledData(in_memory([1, 2], [0, 1]), in_memory([3], [1]), ("b", "a"), (), ("x",))
    second = LabelledData(in_memory([4, 5], [0, 1]), in_memory([], []), ("a", "c"), ())
    both = combine([first, second])
    assert both.classes == ("b", "a", "c")
    assert both.train.labels.tolist() == [0, 1, 1, 2]
    assert [float(both.train.read(i).item()) for i in range(4)] == [1, 2, 4, 5]
    assert both.test.labels.tolist() == [1]
    assert both.origin == ("x",)
    assert both.train.describe(3) == "chip 1"
    assert both.train.footprints() is None


def test_training_chips_over_test_chips_of_another_part_are_left_out(caplog):
    tested = Placed([(500_000, 0, 500_100, 100)], [0])
    trained = Placed([(500_050, 0, 500_150, 100), (500_100, 0, 500_200, 100)], [0, 1])
    elsewhere = gpd.GeoSeries(trained.footprints()).to_crs("EPSG:4326")
    trained._boxes = elsewhere
    empty = in_memory([], [])
    both = combine(
        [
            LabelledData(Placed([(0, 0, 1, 1)], [1]), tested, ("a", "b"), ()),
            LabelledData(trained, empty, ("a", "b"), ()),
        ]
    )
    assert both.train.labels.tolist() == [1, 1]
    assert both.train.describe(1) == "placed 1"
    line = "left out: 1 × training chip that overlaps a test chip of another part"
    assert both.origin == (line,)
    assert line in caplog.text
    assert len(both.train.footprints()) == 2


@pytest.fixture
def parts(tmp_path):
    """A labelled scene, and another with tiles to label, of which two are filled in."""
    first = write_raster(tmp_path / "first.tif", ramp(2, SIDE, SIDE))
    second = write_raster(tmp_path / "second.tif", ramp(2, SIDE, SIDE))
    labels_of(checkerboard(20, 8)).to_file(tmp_path / "first.gpkg")
    tiles = labels_of(checkerboard(20, 8)[:5])
    tiles["label"] = ["a", None, "c", "", " "]
    tiles.to_file(tmp_path / "tiles.gpkg")
    common = {
        "source": "labelled_scene",
        "sensor": "sentinel1",
        "bands": ["VV", "VH"],
        "chip": 8,
        "block_metres": 320,
        "class_column": "class",
    }
    new = {"raster": second, "labels": tmp_path / "tiles.gpkg", "split": "train"}
    return [
        common | {"scenes": [{"raster": first, "labels": tmp_path / "first.gpkg"}]},
        common | {"scenes": [new | {"class_column": "label"}]},
    ]


def recipe(data):
    return validate(Recipe, {"name": "combined", "data": data})


def test_labels_that_were_added_join_the_first_ones(parts, caplog):
    before = load_data(recipe(parts[0]))
    both = load_data(recipe({"source": "combined", "parts": parts}))
    assert both.classes == ("a", "b", "c")
    assert len(both.train) > len(before.train)
    assert len(both.test) == len(before.test)
    assert "3 × feature without a class" in caplog.text


def test_something_is_tested_with(parts):
    with pytest.raises(DataError, match="no chips are tested with"):
        load_data(recipe(parts[1]))


def test_parts_have_the_same_bands(parts):
    other = parts[1] | {"bands": ["VH", "VV"]}
    with pytest.raises(RecipeError, match=r"part 1 has the bands VH \(dB\), VV \(dB\)"):
        recipe({"source": "combined", "parts": [parts[0], other]})
    with pytest.raises(RecipeError, match=r"part 1 sets clip or on_error"):
        recipe({"source": "combined", "parts": [parts[0], parts[1] | {"on_error": "skip"}]})
