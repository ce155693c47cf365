import logging

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from scene_files import CRS, LABELLED_SCENE, checkerboard, labels_of, ramp, write_raster

from rsmeta.data.labelled_scene import load_labelled_scene
from rsmeta.errors import DataError, RecipeError
from rsmeta.recipe import LabelledSceneData, Recipe
from rsmeta.recipe_reading import validate

SIDE = 160


@pytest.fixture
def scene(tmp_path):
    """A scene of two bands whose values tell their place."""
    return write_raster(tmp_path / "scene.tif", ramp(2, SIDE, SIDE))


@pytest.fixture
def load(scene, tmp_path):
    """Load (class, geometry) pairs, a frame or a file as labels of the scene."""

    def load(labels, *, seed=0, layer=None, **options):
        if isinstance(labels, list):
            labels = labels_of(labels)
        if isinstance(labels, gpd.GeoDataFrame):
            frame, labels = labels, tmp_path / "labels.gpkg"
            frame.to_file(labels)
        files = {"raster": scene, "labels": labels, "layer": layer}
        config = {**LABELLED_SCENE, "scenes": [files], **options}
        return load_labelled_scene(LabelledSceneData.model_validate(config), seed)

    return load


def places(data):
    """Windows and class names of training and of test chips."""
    return [
        [(w, data.classes[label]) for w, label in zip(part.windows, part.labels, strict=True)]
        for part in (data.train, data.test)
    ]


def everything(data):
    """Windows and class names of all chips."""
    return [*places(data)[0], *places(data)[1]]


def overlap(a, b):
    return a.scene == b.scene and abs(a.column - b.column) < a.size and abs(a.row - b.row) < a.size


# --- chips --------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlapping", [0.0, 0.5])
def test_chips_are_windows_of_the_scene_inside_their_polygons(load, overlapping):
    labels = checkerboard(20, 8)
    data = load(labels, overlap=overlapping, minimum_cover=1.0)
    assert data.classes == ("a", "b")
    assert [band.name for band in data.bands] == ["VV", "VH"]
    whole = ramp(2, SIDE, SIDE)
    for part in (data.train, data.test):
        for index, (_, column, row, size) in list(enumerate(part.windows))[::5]:
            chip = part.read(index)
            assert chip.dtype == np.float32
            np.testing.assert_array_equal(chip, whole[:, row : row + size, column : column + size])
            square = shapely.box(column, row, column + size, row + size)
            [owner] = [name for name, polygon in labels if polygon.covers(square)]
            assert owner == data.classes[part.labels[index]]
    assert len(data.train) + len(data.test) > (200 if overlapping == 0 else 500)


@pytest.mark.parametrize("overlapping", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_training_chip_overlaps_a_test_chip(load, overlapping, seed):
    data = load(checkerboard(40, 4), overlap=overlapping, most_chips=30, seed=seed)
    train, test = data.train.windows, data.test.windows
    assert len(train) > len(test) > 10
    assert not any(overlap(a, b) for a in train for b in test)


def test_blocks_go_to_one_side_as_a_whole(load):
    data = load(checkerboard(20, 8))
    origin = np.array([500_000, 5_700_000 - 10 * SIDE])
    sides = {}
    for part in (data.train, data.test):
        for window in part.windows:
            middle = np.array([window.column + 4, SIDE - window.row - 4]) * 10 + origin
            sides.setdefault(tuple(middle // 320), set()).add(part is data.test)
    assert len(sides) == 36  # blocks are counted from the origin of the CRS, not of the scene
    assert all(len(side) == 1 for side in sides.values())
    for label in (0, 1):
        counts = [np.count_nonzero(part.labels == label) for part in (data.train, data.test)]
        assert counts[1] / sum(counts) == pytest.approx(0.2, abs=0.05)


def test_points_and_lines_become_chips_too(load):
    labels = [
        ("point", shapely.Point(30, 40)),
        ("point", shapely.Point(130, 140)),
        ("line", shapely.LineString([(60, 20), (100, 20)])),
    ]
    chips = dict(everything(load(labels, test_fraction=0.5)))
    found = {(w.column, w.row): name for w, name in chips.items()}
    expected = {(26, 36): "point", (126, 136): "point"}
    expected |= {(column, 16): "line" for column in range(56, 100, 8)}
    assert found == expected


def test_labels_in_another_crs_mark_the_same_chips(load, scene):
    frame = labels_of(checkerboard(40, 4))
    assert places(load(frame.to_crs("EPSG:3035"))) == places(load(frame))


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "parquet"])
def test_vector_formats(load, tmp_path, suffix):
    frame = labels_of(checkerboard(40, 4)).to_crs("EPSG:4326")
    path = tmp_path / f"other.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_file(path)
    data = load(path)
    assert (data.classes, len(data.train) + len(data.test)) == (("a", "b"), 400)


def test_a_layer_is_named_where_there_are_several(load, tmp_path):
    path = tmp_path / "other.gpkg"
    labels_of(checkerboard(40, 4)).to_file(path, layer="polygons")
    labels_of([("c", shapely.Point(5, 5))]).to_file(path, layer="points")
    assert load(path, layer="polygons").classes == ("a", "b")
    with pytest.raises(DataError, match="several layers: polygons, points; set layer to one"):
        load(path)
    with pytest.raises(DataError, match="no layer 'lines'; they have: polygons, points"):
        load(path, layer="lines")


def test_metres_give_the_same_chips_as_pixels(load):
    labels = checkerboard(40, 4)
    assert places(load(labels, chip=None, chip_metres=84)) == places(load(labels))


@pytest.mark.parametrize("most", [1, 5])
def test_a_polygon_gives_so_many_chips_at_most_and_the_seed_draws_which(load, most):
    labels = checkerboard(40, 4)
    drawn = [load(labels, most_chips=most, seed=seed, block_metres=100) for seed in (0, 0, 1)]
    first, again, other = (everything(data) for data in drawn)
    assert first == again
    assert sorted(first) != sorted(other)
    assert len(first) == 16 * most


def test_numbers_are_class_names_even_where_a_row_has_none(load):
    frame = labels_of(checkerboard(40, 4))
    frame["class"] = [None, *([1, 22] * 8)[1:]]
    data = load(frame)
    assert data.classes == ("1", "22")
    assert "left out: 1 × feature without a class" in data.origin


# --- nodata, edges, background -------------------------------------------------------------------


@pytest.mark.parametrize(("share", "kept"), [(0.0, 3), (0.25, 4), (0.5, 5)])
def test_chips_with_too_much_nodata_are_left_out(load, scene, share, kept):
    with rasterio.open(scene, "r+") as raster:
        hole = np.full((1, 60, 4), np.nan, dtype=np.float32)
        raster.write(hole, [2], window=((0, 60), (0, 4)))
        raster.write(hole[:, :2], [2], window=((60, 62), (0, 4)))
    columns = [("a", shapely.Point(4, row)) for row in (4, 64, 84)]
    rest = [
        ("a", shapely.Point(144, 150)),
        ("b", shapely.Point(100, 4)),
        ("b", shapely.Point(4, 150)),
    ]
    data = load(columns + rest, maximum_nodata=share, test_fraction=0.4)
    assert len(data.train) + len(data.test) == kept + 1
    left = 5 - kept
    assert any(f"{left} × chip with too much nodata" in line for line in data.origin) == bool(left)


def test_chips_over_the_edge_are_left_out_counted_and_told(load, caplog):
    labels = [*checkerboard(40, 4), ("a", shapely.Point(1, 80)), ("b", shapely.Point(80, 159))]
    with caplog.at_level(logging.WARNING):
        data = load(labels)
    assert len(data.train) + len(data.test) == 400
    assert sum("1 × chip over the edge of the scene" in line for line in data.origin) == 2
    assert "2 × chip over the edge of the scene" in caplog.text


def test_a_polygon_that_reaches_beyond_the_scene_gives_chips_inside(load):
    beyond = shapely.box(-1e5, -1e5, 80, 1e5)
    data = load([("a", beyond), ("b", shapely.box(80, 0, 160, 160))])
    windows = data.train.windows + data.test.windows
    assert len(windows) == 400
    assert all(0 <= w.column <= 152 and 0 <= w.row <= 152 for w in windows)


def test_background_touches_no_label_and_lies_side_by_side(load):
    labels = [("a", shapely.box(0, 0, 40, 160)), (None, shapely.box(60, 60, 100, 100))]
    data = load(labels, background={"name": "rest", "count": 50})
    assert data.classes == ("a", "rest")
    rest = [window for part in places(data) for window, name in part if name == "rest"]
    assert len(rest) == 50
    assert not any(overlap(a, b) for a in rest for b in rest if a != b)
    for _, column, row, size in rest:
        square = shapely.box(column, row, column + size, row + size)
        assert not any(geometry.intersects(square) for _, geometry in labels)
    again = load(labels, background={"name": "rest", "count": 50}, seed=1)
    assert set(again.train.windows) != set(data.train.windows)


def test_less_background_than_asked_for_is_told(load, caplog):
    with caplog.at_level(logging.WARNING):
        data = load(checkerboard(40, 3), background={"count": 1000})
    count = sum(part.count("background") for part in ([n for _, n in p] for p in places(data)))
    assert f"background: {count} of 1000 chips found" in caplog.text or count == 0
    assert "of 1000 chips found that touch no label" in caplog.text


# --- footprints, several scenes ------------------------------------------------------------------


def test_footprints_are_the_chips_on_the_ground(load, scene):
    data = load(checkerboard(40, 4))
    footprints = data.train.footprints()
    assert footprints.crs == CRS
    assert (footprints.area == 6400).all()
    with rasterio.open(scene) as raster:
        for index in (0, len(data.train) - 1):
            window = raster.window(*footprints[index].bounds)
            np.testing.assert_array_equal(raster.read(window=window), data.train.read(index))


def test_overlapping_scenes_of_two_crs_share_no_ground_between_training_and_test(tmp_path):
    """A second date of the same ground, in degrees."""
    write_raster(tmp_path / "a.tif", ramp(2, SIDE, SIDE))
    degrees = from_origin(3, 51.4537, 1.43e-4, 9e-5)
    write_raster(tmp_path / "b.tif", ramp(2, SIDE, SIDE), crs="EPSG:4326", transform=degrees)
    labels_of(checkerboard(20, 8)).to_file(tmp_path / "labels.gpkg")
    scenes = [{"raster": tmp_path / f"{n}.tif", "labels": tmp_path / "labels.gpkg"} for n in "ab"]
    section = {**LABELLED_SCENE, "scenes": scenes, "block_metres": 200}
    config = LabelledSceneData.model_validate(section)
    data = load_labelled_scene(config, 0)
    train, test = data.train.footprints(), data.test.footprints()
    assert train.crs == "EPSG:4326"
    assert {w.scene for w in data.train.windows} == {w.scene for w in data.test.windows} == {0, 1}
    shared = train.to_crs(CRS).intersection(test.to_crs(CRS).union_all()).area
    assert shared.max() < 10  # of 6400 square metres
    assert any("training chip that overlaps a test chip" in line for line in data.origin)


# --- what is wrong with labels ------------------------------------------------------------------


def test_features_that_give_no_chips_are_counted(load, caplog):
    bow_tie = shapely.Polygon([(10, 10), (30, 30), (30, 10), (10, 30)])
    odd = [
        (None, shapely.box(0, 0, 20, 20)),
        (" ", shapely.Point(50, 50)),
        ("a", None),
        ("a", shapely.Polygon()),
        ("a", shapely.Point(500, 500)),
        ("a", shapely.box(81, 81, 83, 83)),
        ("b", bow_tie),
    ]
    with caplog.at_level(logging.WARNING):
        data = load([*checkerboard(40, 4), *odd])
    lines = "\n".join(data.origin)
    for text in (
        "2 × feature without a class",
        "2 × feature without a geometry",
        "1 × feature outside of the scene",
        "1 × polygon that covers too little of a chip",
        "1 × feature of invalid geometry",
    ):
        assert text in lines
        assert text.partition(" × ")[2].removeprefix("feature of ") in caplog.text
    assert "from 9 × polygon" in lines


def test_each_class_has_a_line_of_its_chips_and_features(load):
    labels = [*checkerboard(40, 4), ("a", shapely.Point(8, 100.5)), ("a", shapely.Point(8, 100.5))]
    data = load(labels)
    counts = [np.bincount(part.labels) for part in (data.train, data.test)]
    first, second = data.origin
    assert first.startswith(f"a: {counts[0][0]} training and {counts[1][0]} test chips from ")
    assert "from 2 × point, 8 × polygon" in first
    assert "1 × chip at the place of another" in first
    assert second == f"b: {counts[0][1]} training and {counts[1][1]} test chips from 8 × polygon"


def test_a_place_that_two_classes_claim_gives_no_chip(load):
    twice = shapely.Point(20, 20)
    data = load([*checkerboard(40, 4)[1:], ("a", twice), ("b", twice)])
    assert (16, 16) not in {(w.column, w.row) for w in data.train.windows + data.test.windows}
    assert sum("1 × chip at the place of one of another class" in line for line in data.origin) == 2


def test_classes_of_the_recipe_choose_features_and_their_order(load):
    labels = [*checkerboard(40, 4), ("c", shapely.Point(81, 81))]
    data = load(labels, classes=["b", "a"])
    assert data.classes == ("b", "a")
    assert "left out: 1 × feature of a class not in data.classes" in data.origin


def small(pairs):
    return [*checkerboard(40, 4), *pairs]


@pytest.mark.parametrize(
    ("labels", "options", "parts"),
    [
        (checkerboard(40, 4), {"class_column": "kind"}, ["no column 'kind'", "have: class"]),
        ([("a", shapely.Point(5000, 5))], {}, ["none of 1 features lies in the scene"]),
        ([("a", shapely.box(0, 0, 160, 160))], {}, ["1 class(es) [a]", "data.background"]),
        (
            small([("c", shapely.Point(1, 1))]),
            {},
            ["class 'c' has no training chips: 1 × point", "1 × chip over the edge"],
        ),
        (
            small([("c", shapely.box(80, 80, 82, 82))]),
            {},
            ["class 'c' has no training chips", "1 × polygon that covers too little of a chip"],
        ),
        (checkerboard(40, 4), {"classes": ["a", "b", "d"]}, ["class 'd'", "no feature"]),
        (checkerboard(40, 4), {"background": {"name": "a", "count": 1}}, ["name 'a' is also"]),
        (checkerboard(40, 4), {"block_metres": 79}, ["block_metres 79", "80 m", "scene.tif"]),
        (checkerboard(40, 4), {"block_metres": 1e9}, ["no chips are left to test with"]),
        (checkerboard(40, 4), {"chip": 161, "block_metres": 1e4}, ["161 pixels do not fit"]),
        (checkerboard(40, 4), {"chip": None, "chip_metres": 9}, ["chip_metres 9", "10 m"]),
    ],
)
def test_labels_that_cannot_be_used_are_one_line(load, labels, options, parts):
    with pytest.raises(DataError) as caught:
        load(labels, **options)
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_several_classes_without_training_chips_are_a_line_each(load):
    labels = small([("c", shapely.Point(1, 1)), ("d", shapely.Point(159, 1))])
    with pytest.raises(DataError) as caught:
        load(labels)
    assert [line[:9] for line in str(caught.value).splitlines()] == ["class 'c'", "class 'd'"]


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_labels_without_a_crs_are_refused(load):
    with pytest.raises(DataError, match=r"labels\.gpkg' have no CRS"):
        load(labels_of(checkerboard(40, 4), crs=None))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.gpkg", None, "do not exist"),
        ("bad.gpkg", "not a file", "cannot be read"),
        ("bad.parquet", "not a file", "cannot be read"),
        ("table.csv", "class,x\na,1\n", "have no geometries"),
    ],
)
def test_files_that_hold_no_labels_are_one_line_with_their_path(
    load, tmp_path, name, text, message
):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the recipe's section -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"chip_metres": 80}, ["data", "either in pixels", "or in metres"]),
        ({"chip": None}, ["data", "either in pixels", "or in metres"]),
        ({"scenes": []}, ["data.scenes"]),
        ({"bands": ["VV", "XX"]}, ["'XX'", "VV, VH"]),
        (
            {"scenes": [{"raster": {"VV": "vv.tif"}, "labels": "a.gpkg"}]},
            ["no file for VH", "data.bands"],
        ),
        ({"minimum_cover": 0}, ["data.minimum_cover: 0"]),
        ({"overlap": 1}, ["data.overlap: 1"]),
        ({"most_chip": 3}, ["data.most_chip", "did you mean 'most_chips'?"]),
    ],
)
def test_mistakes_in_the_section_are_one_line(change, parts):
    data = {**LABELLED_SCENE, "scenes": [{"raster": "a.tif", "labels": "a.gpkg"}], **change}
    with pytest.raises(RecipeError) as caught:
        validate(Recipe, {"name": "x", "data": data})
    [line] = caught.value.problems
    assert all(part in line for part in parts), line


def test_a_wrong_raster_is_told_without_type_names(tmp_path):
    data = {**LABELLED_SCENE, "scenes": [{"raster": 3, "labels": "a.gpkg"}]}
    with pytest.raises(RecipeError) as caught:
        validate(Recipe, {"name": "x", "data": data})
    assert all(line.startswith("data.scenes.0.raster") for line in caught.value.problems)
