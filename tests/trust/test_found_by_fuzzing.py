"""What the cases of `benchmarks/trust_fuzz.py` have found once, made by hand."""

import csv
import io

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rich.console import Console
from scene_files import CRS as UTM
from scene_files import write_raster
from tile_classifiers import Mixing
from untrained_runs import write_untrained_run

from rsmeta.errors import BackboneError, RecipeError, RsmetaError, SceneError
from rsmeta.models.allocation import allocating
from rsmeta.prediction import FAILED, predict, tile_progress
from rsmeta.prediction_options import PredictionOptions
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import expand, validate
from rsmeta.scenes import Product, ProductOptions, predict_scene

ZEROS = np.zeros((1, 32, 32), np.float32)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 10, 5e5, 10, 10, 5e6),
        Affine(30, 0, -3e271, 0, -30, 6e6),
        Affine(float("nan"), 0, 0, 0, -10, 0),
        Affine(1e300, 0, 0, 0, -1e300, 0),
    ],
    ids=["a line", "far away", "nan", "infinite area"],
)
def test_pixels_without_an_area_have_no_place(tmp_path, transform):
    scene = write_raster(tmp_path / "scene.tif", ZEROS, transform=transform)
    with pytest.raises(SceneError, match="gives its pixels no area"):
        predict_scene(scene, Mixing(), tmp_path / "out")


def test_ground_control_points_without_a_crs_are_carried_over(tmp_path):
    points = [GroundControlPoint(r, c, c, 32 - r) for r in (0, 32) for c in (0, 32)]
    scene = write_raster(tmp_path / "scene.tif", ZEROS, crs=None, transform=None)
    with rasterio.open(scene, "r+") as dataset:
        dataset.gcps = (points, CRS())
    done = predict_scene(scene, Mixing(), tmp_path / "out")
    with rasterio.open(done.classes) as dataset:
        found, crs = dataset.gcps
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]
    assert not crs


def test_a_scene_beyond_the_earth_has_no_geojson(tmp_path):
    place = Affine(1e-3, 0, 10, 0, -1e-3, 95)
    scene = write_raster(tmp_path / "scene.tif", ZEROS, crs="EPSG:4326", transform=place)
    products = ProductOptions(frozenset({Product.GEOJSON}))
    with pytest.raises(SceneError, match=r"geojson|numbers"):
        predict_scene(scene, Mixing(), tmp_path / "out", products=products)


def test_thousands_of_bands_are_refused(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", np.zeros((4097, 1, 1), np.uint8), crs=UTM)
    with pytest.raises(SceneError, match="has 4097 bands; allowed are 4096"):
        predict_scene(scene, Mixing(), tmp_path / "out")


def test_a_backbone_that_cannot_be_allocated_is_one_line():
    with pytest.raises(BackboneError, match="not fit into memory"), allocating("a backbone"):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
    with pytest.raises(RuntimeError, match="shapes"), allocating("a backbone"):
        raise RuntimeError("shapes do not fit")
    values = {"name": "x", "data": {"source": "simulator"}, "backbone": {"image_size": 99_999}}
    with pytest.raises(RecipeError, match=r"backbone\.image_size: 99999: .* 1024"):
        validate(Recipe, values)


def test_variables_that_stand_in_one_another_are_refused(monkeypatch):
    monkeypatch.setenv("OUTER", "${INNER}")
    for text in ("${OUTER}", "${NOT_SET:-${INNER}}"):
        with pytest.raises(RecipeError, match="cannot stand in one another"):
            expand({"a": [text]})


def test_messages_have_no_control_characters_and_bounded_values():
    error = RsmetaError("a\x1b[2J\x00\u2028b\ud800\tc\nd")
    assert str(error) == "a\\x1b[2J\\x00\\u2028b\\ud800\\tc\nd"
    values = {"name": "x", "data": {"source": "simulator"}, "seed": "9" * 10_000}
    with pytest.raises(RecipeError) as caught:
        validate(Recipe, values)
    assert len(str(caught.value)) < 3000


def test_a_scene_may_be_named_like_markup():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with tile_progress(console) as bar:
        bar.add_task("a[/b][red].tif", total=1)
        bar.refresh()
    assert "a[/b][red].tif" in console.file.getvalue()


def test_the_list_of_failures_is_no_spreadsheet_formula(tmp_path, monkeypatch):
    run = write_untrained_run(tmp_path / "run", ["a", "b"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "=1+1.tif").write_bytes(b"no raster")
    with pytest.raises(SceneError, match="could not be classified"):
        list(predict(["=1+1.tif"], run, tmp_path / "out", PredictionOptions(on_error="skip")))
    with (tmp_path / "out" / FAILED).open(newline="", encoding="utf-8") as file:
        _, row = csv.reader(file)
    assert row[0] == "./=1+1.tif"
    assert not row[1].startswith(("=", "+", "-", "@"))
