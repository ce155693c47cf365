from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import yaml

from rsmeta.bands import SimulatedSensor
from rsmeta.cli import drafting
from rsmeta.data.simulator.product import write_scene
from rsmeta.drafting.chips import look_at_labels
from rsmeta.errors import DataError, RecipeError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.validation import validate_recipe


@pytest.fixture
def write_chips(tmp_path):
    """Writes chips of two classes, of which one is brighter; returns their folder."""

    def write(folders, low=0.0, high=1.0, count=2, bands=2, dtype="float32", descriptions=()):
        generator = np.random.default_rng(0)
        for folder in folders:
            for label, factor in (("field", 1.0), ("water", 0.5)):
                (tmp_path / folder / label).mkdir(parents=True)
                for number in range(count):
                    chip = factor * generator.uniform(low, high, (bands, 16, 16))
                    profile = {"height": 16, "width": 16, "count": bands, "dtype": dtype}
                    path = tmp_path / folder / label / f"{number}.tif"
                    with rasterio.open(path, "w", driver="GTiff", **profile) as target:
                        target.write(chip.astype(dtype))
                        target.descriptions = tuple(descriptions) or (None,) * bands
        return tmp_path / folders[0].split("/")[0]

    return write


def section(path="recipe.yaml"):
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))["data"]


def valid(path="recipe.yaml"):
    return validate_recipe(read_recipe(Recipe, Path(path)))


def test_chips_in_split_folders_give_a_recipe_that_validates(rsmeta, write_chips):
    write_chips(("chips/train", "chips/test"), -25, -5, bands=1)
    done = rsmeta("init", "--chips", "chips", "--sensor", "sentinel1", "--bands", "VH")
    assert "rsmeta validate recipe.yaml" in done.stdout
    assert section() == {
        "source": "folder", "root": "chips", "sensor": "sentinel1", "bands": ["VH"],
    }  # fmt: skip
    text = Path("recipe.yaml").read_text()
    assert "16 x 16 pixels" in text
    assert "field 4, water 4" in text
    checked = valid()
    assert len(checked.inspected.data.train) == len(checked.inspected.data.test) == 4


def test_chips_without_a_split_are_split_by_class(rsmeta, write_chips):
    write_chips(("chips",), count=10, bands=3)
    rsmeta("init", "--chips", "chips", "--sensor", "rgb", "--out", "sub/mine.yaml")
    table = pd.read_csv("sub/mine_chips.csv")
    assert table.groupby(["label", "split"]).size().to_dict() == {
        ("field", "test"): 2, ("field", "train"): 8, ("water", "test"): 2, ("water", "train"): 8,
    }  # fmt: skip
    data = valid("sub/mine.yaml").inspected.data
    assert (len(data.train), len(data.test)) == (16, 4)
    assert not {data.train.describe(i) for i in range(16)} & {
        data.test.describe(i) for i in range(4)
    }


@pytest.mark.parametrize(
    ("sensor", "low", "high", "dtype", "units"),
    [
        ("sentinel2-l2a", 200, 9000, "uint16", {"scale": 0.0001, "offset": 0.0}),
        ("sentinel2-l2a", 0, 1, "float32", None),
        ("sentinel1", 20, 900, "float32", {"to_db": "amplitude"}),
        ("sentinel1", -25, -5, "float32", None),
    ],
)
def test_units_are_suggested_from_the_values(rsmeta, write_chips, sensor, low, high, dtype, units):
    names = ("B03", "B08") if sensor.startswith("sentinel2") else ("VH", "VV")
    write_chips(("c/train", "c/test"), low, high, dtype=dtype, descriptions=names)
    done = rsmeta("init", "--chips", "c", "--sensor", sensor)
    assert section().get("units") == units
    assert ("check:  units:" in done.stdout) == (units is not None)
    assert section()["bands"] == list(names)  # by their descriptions, in file order
    valid()


def test_a_table_is_read_by_the_usual_names_of_its_columns(rsmeta, write_chips):
    folder = write_chips(("chips",), count=4, bands=3)
    paths = sorted(folder.glob("*/*.tif"))
    rows = {
        "filename": [path.relative_to(folder.parent) for path in paths],
        "class": [path.parent.name for path in paths],
        "subset": ["train", "train", "test", "unused"] * 2,
    }
    pd.DataFrame(rows).to_csv("chips.csv", index=False)
    rsmeta("init", "--table", "chips.csv", "--sensor", "rgb")
    assert section()["label_column"] == "class"
    assert len(valid().inspected.data.train) == 4


def test_a_labelled_scene_gives_a_recipe_that_validates(rsmeta, tmp_path):
    write_scene(tmp_path / "scene.tif", SimulatedSensor.MULTISPECTRAL, 1024, 1)
    options = ["--scene", "scene.tif", "--labels", "scene_truth.gpkg", "--class-column", "class"]
    rsmeta("init", *options, "--sensor", "sentinel2-l2a")
    text = Path("recipe.yaml").read_text()
    counts = gpd.read_file("scene_truth.gpkg")["class"].value_counts()
    assert all(f"{name} {count}" in text for name, count in counts.items())
    assert "1024 x 1024 pixels of 2 m, EPSG:32631" in text
    assert "bands" not in section()
    assert len(valid().inspected.data.test) > 0


def test_labels_without_a_class_are_told(rsmeta, tmp_path):
    write_scene(tmp_path / "scene.tif", SimulatedSensor.OPTICAL, 128, 0)
    labels = gpd.read_file("scene_truth.gpkg")
    labels.assign(kind=None).to_file("none.gpkg")
    options = ["--scene", "scene.tif", "--labels", "none.gpkg", "--class-column", "kind"]
    with pytest.raises(DataError, match="no feature has a class in the column 'kind'"):
        rsmeta("init", *options, "--sensor", "rgb")


def test_a_name_that_would_end_the_comment_of_a_recipe_is_refused(rsmeta, write_chips):
    write_chips(("chips",), bands=3, high=255)
    Path("chips/field").rename("chips/field\nname: other")
    with pytest.raises(DataError, match=r"has the character U\+000A; rename the class"):
        rsmeta("init", "--chips", "chips", "--sensor", "rgb")


def test_sizes_of_labels_are_told_where_utm_has_no_zone(tmp_path):
    """A square of 100 m at 89 degrees north, in the polar stereographic projection of EPSG:3413."""
    square = shapely.box(80_000, 80_000, 80_100, 80_100)
    frame = gpd.GeoDataFrame({"kind": ["ice"]}, geometry=[square], crs="EPSG:3413")
    frame.to_file(tmp_path / "ice.gpkg")
    counts, side = look_at_labels(tmp_path / "ice.gpkg", "kind")
    assert counts == {"ice": 1}
    scale = 0.9728  # of EPSG:3413 at 89 degrees, true at 70: (1 + sin 70) / (1 + sin 89)
    assert side == pytest.approx(100 / scale, rel=0.01)


def test_what_is_missing_is_asked_for(rsmeta, write_chips, monkeypatch):
    write_chips(("chips/train", "chips/test"), bands=3)
    with pytest.raises(RecipeError, match=r"--sensor is missing: .*rgb"):
        rsmeta("init", "--chips", "chips")
    with pytest.raises(RecipeError, match="--chips is missing"):
        rsmeta("init")
    answers = iter(["folder", "chips", "rgb"])
    monkeypatch.setattr(drafting.typer, "prompt", lambda question: next(answers))
    monkeypatch.setattr(drafting, "_is_interactive", lambda: True)
    rsmeta("init")
    assert section()["sensor"] == "rgb"


def test_nothing_is_overwritten(rsmeta, write_chips):
    write_chips(("chips",), count=3, bands=3)
    Path("mine.yaml").write_text("precious")
    options = ["--chips", "chips", "--sensor", "rgb", "--out"]
    with pytest.raises(RecipeError, match=r"'mine.yaml' exists already"):
        rsmeta("init", *options, "mine.yaml")
    Path("new_chips.csv").write_text("precious")
    with pytest.raises(RecipeError, match=r"'new_chips.csv' exists already"):
        rsmeta("init", *options, "new.yaml")
    assert Path("mine.yaml").read_text() == Path("new_chips.csv").read_text() == "precious"
    assert not Path("new.yaml").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--chips", "chips", "--table", "t.csv"], RecipeError, "exactly one of"),
        (["--chips", "chips", "--labels", "l.gpkg"], RecipeError, "go with --scene"),
        (["--chips", "nowhere", "--sensor", "rgb"], DataError, "does not exist"),
        (["--chips", "chips", "--sensor", "naip"], DataError, "name those of the files"),
        (["--chips", "chips", "--sensor", "sar", "--bands", "VV"], DataError, "1 bands are named"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(rsmeta, write_chips, options, error, message):
    write_chips(("chips",), count=3, bands=3)
    with pytest.raises(error, match=message) as caught:
        rsmeta("init", *options)
    assert "\n" not in str(caught.value)
    assert not Path("recipe.yaml").exists()
