import sqlite3
from contextlib import closing
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from rasterio.control import GroundControlPoint
from tile_classifiers import Mixing

from rsmeta.errors import SceneError
from rsmeta.scenes.candidates import CandidatePool
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.informativeness import informativeness, mean_around
from rsmeta.scenes.source import RasterSource
from rsmeta.scenes.suggest import suggest_tiles
from rsmeta.scenes.suggestion_file import suggestion_frame, write_suggestions
from rsmeta.scenes.work import UnitResult

WEIGHTS = np.array([1.0, 2.0, 4.0])


class Featured(Mixing):
    """Features are some pixels of a tile."""

    killed_after = None

    def features(self, tiles):
        return tiles[:, 0, ::5, ::5].reshape(len(tiles), -1)

    def probabilities(self, tiles):
        if self.killed_after is not None and self.tiles >= self.killed_after:
            raise KeyboardInterrupt
        return super().probabilities(tiles)


def whole_tiles(values, side=16, stride=8):
    """All tiles that lie whole in an array, with their places."""
    height, width = values.shape[1:]
    places = [
        (row, column)
        for row in range((height - side) // stride + 1)
        for column in range((width - side) // stride + 1)
    ]
    tiles = [
        values[:, r * stride : r * stride + side, c * stride : c * stride + side] for r, c in places
    ]
    return np.array(places), np.stack(tiles)


def test_tiles_of_a_streamed_scene_are_those_of_the_whole_scene(write_scene, noise, tmp_path):
    values = noise(304, 80)
    path = write_scene(values)
    found = suggest_tiles(RasterSource(str(path)), Featured(), WEIGHTS, 5, tmp_path).tiles
    places, tiles = whole_tiles(values)
    every = Featured().probabilities(tiles)
    lattice = every.reshape(places[-1, 0] + 1, places[-1, 1] + 1, -1)
    scores = informativeness(every, WEIGHTS, mean_around(lattice).reshape(every.shape))
    best = places[scores.argmax()]
    assert (found.row[0], found.column[0]) == tuple(best)
    index = {tuple(place): number for number, place in enumerate(places.tolist())}
    chosen = [index[pair] for pair in zip(found.row.tolist(), found.column.tolist(), strict=True)]
    assert len(set(chosen)) == 5
    assert np.allclose(found.score, scores[chosen], rtol=1e-6)
    assert not list(tmp_path.glob(".rsmeta-*"))
    again = suggest_tiles(RasterSource(str(path)), Featured(), WEIGHTS, 5, tmp_path).tiles
    assert np.array_equal(again.row, found.row)
    assert np.array_equal(again.column, found.column)


def test_tiles_without_data_are_not_suggested(write_scene, noise, tmp_path):
    values = noise(64, 64)
    values[:, :, :32] = np.nan
    path = write_scene(values)
    found = suggest_tiles(RasterSource(str(path)), Featured(), WEIGHTS, 50, tmp_path).tiles
    assert 0 < len(found) < 50
    assert found.column.min() * 8 >= 32
    values[:] = np.nan
    with pytest.raises(SceneError, match="no tile of 16 px that lies whole in it"):
        suggest_tiles(RasterSource(str(write_scene(values))), Featured(), WEIGHTS, 50, tmp_path)


def test_a_killed_suggestion_goes_on_where_it_stopped(write_scene, noise, tmp_path):
    source = RasterSource(str(write_scene(noise(600, 100))))
    wanted = suggest_tiles(source, whole := Featured(), WEIGHTS, 5, tmp_path / "a").tiles
    killed = Featured()
    killed.killed_after = 400
    with pytest.raises(KeyboardInterrupt):
        suggest_tiles(source, killed, WEIGHTS, 5, tmp_path / "b")
    found = suggest_tiles(source, rest := Featured(), WEIGHTS, 5, tmp_path / "b").tiles
    assert rest.tiles < whole.tiles - 200
    assert np.array_equal(found.row, wanted.row)
    assert np.array_equal(found.score, wanted.score)


def test_the_pool_is_bounded_and_keeps_the_best_of_each_class():
    rng = np.random.default_rng(0)
    classes, rows, columns = 128, 120, 100
    grid = TileGrid.over(16 + 8 * (rows - 1), 16 + 8 * (columns - 1), 16)
    likely = np.r_[5.0, 5.0, np.full(classes - 2, 0.01)]
    every = rng.dirichlet(likely, (rows, columns)).astype(np.float32)
    pool = CandidatePool(grid, np.ones(classes), 3)
    for unit in (range(0, 1), range(1, 2), range(2, 50), range(50, 51), range(51, rows)):
        row, column = (part.ravel() for part in np.mgrid[unit.start : unit.stop, :columns])
        valid = np.ones(len(row))
        values = every[row, column]
        pool.add(unit, UnitResult(row, column, valid, values, np.empty((0, 0), np.uint8)))
    flat = every.reshape(-1, classes)
    around = mean_around(every).reshape(flat.shape)
    scores = informativeness(flat, np.ones(classes), around)
    room = 1024 // classes
    for label in range(classes):
        wanted = np.sort(scores[flat.argmax(axis=1) == label])[::-1][:room]
        kept = pool.best.score[pool.best.label == label]
        assert np.allclose(np.sort(kept)[::-1], wanted, rtol=1e-6)


@pytest.mark.parametrize("place", ["transform", "points", "nothing"])
def test_the_file_has_tiles_with_an_empty_label_and_a_style(place, write_scene, noise, tmp_path):
    options = {}
    if place != "transform":
        options = {"crs": None, "transform": None}
    if place == "points":
        corners = [(0, 0), (0, 64), (64, 0), (64, 64)]
        points = [GroundControlPoint(r, c, 10 + c * 1e-3, 50 - r * 1e-3) for r, c in corners]
        options |= {"gcps": points, "crs": "EPSG:4326"}
    scene = write_scene(noise(64, 64), **options)
    found = suggest_tiles(RasterSource(str(scene)), Featured(), WEIGHTS, 4, tmp_path)
    path = tmp_path / "new" / "tiles.gpkg"
    write_suggestions(suggestion_frame(found, Featured.classes), Featured.classes, path)
    assert [file.name for file in path.parent.iterdir()] == ["tiles.gpkg"]
    frame = gpd.read_file(path, layer="suggestions")
    assert list(frame["rank"]) == [1, 2, 3, 4]
    assert set(frame["predicted_class"]) <= set(Featured.classes)
    assert frame["label"].isna().all()
    with closing(sqlite3.connect(path)) as database:
        columns = database.execute("SELECT name, type FROM pragma_table_info('suggestions')")
        assert dict(columns.fetchall())["label"].startswith("TEXT")
    left, top = found.tiles.column[0] * 8, found.tiles.row[0] * 8
    box = np.array([left, top, left + 16, top + 16])
    wanted = {
        "transform": (500_000 + 10 * box[0], 4_800_000 - 10 * box[3],
                      500_000 + 10 * box[2], 4_800_000 - 10 * box[1]),
        "points": (10 + box[0] * 1e-3, 50 - box[3] * 1e-3, 10 + box[2] * 1e-3, 50 - box[1] * 1e-3),
        "nothing": tuple(box),
    }[place]  # fmt: skip
    assert np.allclose(frame.geometry.bounds.iloc[0], wanted, rtol=1e-9)
    code = {"transform": 32631, "points": 4326}.get(place)
    assert (frame.crs.to_epsg() if code else frame.crs) in (code, None) or place == "nothing"
    style = pyogrio.read_dataframe(path, layer="layer_styles").iloc[0]
    assert style["f_table_name"] == "suggestions"
    # The columns that QGIS looks for.
    texts = {"f_table_catalog", "f_table_schema", "f_geometry_column", "styleName", "styleSLD"}
    assert texts | {"useAsDefault", "description", "owner", "ui", "update_time"} <= {*style.index}
    check_style(ElementTree.fromstring(style["styleQML"]), Featured.classes)


def check_style(style, classes):
    """What QGIS reads: outlines without filling, ranks as labels, a list of classes to choose."""
    assert style.tag == "qgis"
    assert style.attrib["version"].startswith("3.")
    assert style.attrib["labelsEnabled"] == "1"
    assert {"Symbology", "Labeling", "Forms"} <= {*style.attrib["styleCategories"].split("|")}
    renderer = style.find("renderer-v2[@type='singleSymbol']")
    (layer,) = renderer.findall("symbols/symbol[@type='fill'][@name='0']/layer")
    assert (layer.attrib["class"], layer.attrib["enabled"]) == ("SimpleFill", "1")
    filling = {o.attrib["name"]: o.attrib["value"] for o in layer.findall("Option/Option")}
    assert (filling["style"], filling["outline_style"]) == ("no", "solid")
    colour = filling["outline_color"]
    assert float(filling["outline_width"]) > 0
    (text,) = style.findall("labeling[@type='simple']/settings/text-style")
    assert (text.attrib["fieldName"], text.attrib["isExpression"]) == ("rank", "0")
    assert text.attrib["textColor"] == colour
    assert float(text.attrib["fontSize"]) > 0
    (around,) = text.findall("text-buffer[@bufferDraw='1']")
    assert around.attrib["bufferColor"] != colour
    (editor,) = style.findall("fieldConfiguration/field[@name='label']/editWidget")
    assert editor.attrib["type"] == "ValueMap"
    entries = editor.findall(
        "config/Option[@type='Map']/Option[@name='map'][@type='List']/Option[@type='Map']/Option"
    )
    assert [entry.attrib["name"] for entry in entries] == list(classes)
    assert all(e.attrib["value"] == e.attrib["name"] for e in entries)
    assert all(e.attrib["type"] == "QString" for e in entries)
