"""Products that cannot be written: one line, and nothing half-written or open is left."""

import geopandas as gpd
import numpy as np
import pyogrio.errors
import pytest
import shapely
from tile_classifiers import Mixing

from rsmeta.errors import SceneError
from rsmeta.scenes import inputs, predict_scene
from rsmeta.scenes.cell_writer import CellWriter
from rsmeta.scenes.opening import open_scene
from rsmeta.scenes.source import RasterSource
from rsmeta.scenes.suggestion_file import write_suggestions


@pytest.fixture
def full(monkeypatch):
    """A disk that is full when polygons are written, by the error that pyogrio has for rows."""

    def to_file(frame, path, **options):
        path.write_bytes(b"half a file")
        raise pyogrio.errors.DataLayerError("disk I/O error")

    monkeypatch.setattr(gpd.GeoDataFrame, "to_file", to_file)


@pytest.mark.usefixtures("full")
def test_polygons_that_cannot_be_written_are_one_line(write_scene, noise, tmp_path):
    with pytest.raises(SceneError, match=r"cannot write .*disk I/O error; check permissions"):
        predict_scene(write_scene(noise(40, 40)), Mixing(), tmp_path / "out")
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("[!.]*.gpkg"))


@pytest.mark.usefixtures("full")
def test_suggestions_that_cannot_be_written_leave_nothing(tmp_path):
    frame = gpd.GeoDataFrame({"rank": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32632")
    with pytest.raises(SceneError, match="disk I/O error"):
        write_suggestions(frame, ["a"], tmp_path / "tiles.gpkg")
    assert list(tmp_path.iterdir()) == []


def test_a_map_whose_last_rows_cannot_be_written_is_closed(write_scene, noise, tmp_path):
    with open_scene(RasterSource(str(write_scene(noise(8, 8)))), ["VV"]) as scene:
        place = scene.georeference
    writer = CellWriter(tmp_path / "map.tif", (8, 8), ["class"], "uint8", 255, place)

    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    dataset, writer.dataset = writer.dataset, Refusing(writer.dataset, refuse)
    with pytest.raises(SceneError, match="No space left"), writer:
        writer.append(np.zeros((8, 8, 1), np.uint8), np.ones((8, 8), np.bool_), 1)
    assert dataset.closed


class Refusing:
    """A dataset whose `write` is another."""

    def __init__(self, dataset, write):
        self.dataset, self.write = dataset, write

    def __getattr__(self, name):
        return getattr(self.dataset, name)


def test_a_byte_order_mark_is_no_part_of_a_list_s_first_scene(write_scene, noise, tmp_path):
    write_scene(noise(8, 8))
    (tmp_path / "scenes.txt").write_text("scene.tif\n", encoding="utf-8-sig")
    [found] = inputs.scene_sources([tmp_path / "scenes.txt"])
    assert found.path == str(tmp_path / "scene.tif")
