"""What does not fit into memory is refused before it is allocated; what streams is not."""

import struct
import time
import zipfile

import numpy as np
import psutil
import pytest
import rasterio
from fuzzing.tiff import layout
from scene_files import write_raster
from tile_classifiers import Mixing

from rsmeta import memory
from rsmeta.data.chips import ChipFiles
from rsmeta.errors import DataError, SceneError
from rsmeta.memory import free_memory, require_memory
from rsmeta.rasters import open_raster
from rsmeta.scenes import ReadOptions, predict_scene
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.limits import require_size
from rsmeta.scenes.planning import plan_scene
from rsmeta.scenes.source import RasterSource
from rsmeta.scenes.work import GridOptions


@pytest.fixture(autouse=True)
def one_gigabyte(monkeypatch):
    """Is free, whatever the machine has."""
    monkeypatch.setattr(memory, "free_memory", lambda: 10**9)


@pytest.fixture
def empty(tmp_path):
    """Writes GeoTIFFs without a single written block: a few KB, whatever their size."""

    def write(height, width, count=1, **options):
        path = tmp_path / "empty.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=count, dtype="float32",
            compress="deflate", sparse_ok=True, bigtiff="yes", **options,
        ):  # fmt: skip
            pass
        return path

    return write


def test_one_huge_compressed_strip_is_refused_with_an_estimate(empty):
    scene = empty(60_000, 60_000, blockysize=60_000)
    assert scene.stat().st_size < 2000
    started, taken = time.perf_counter(), psutil.Process().memory_info().rss
    with pytest.raises(SceneError, match=r"empty\.tif' does not fit into memory") as caught:
        predict_scene(scene, Mixing(), scene.parent / "out")
    assert "takes about 28.8 GB, 1 GB are free" in str(caught.value)
    assert "gdal_translate -co TILED=YES" in str(caught.value)
    assert time.perf_counter() - started < 2
    assert psutil.Process().memory_info().rss - taken < 10**8
    assert not (scene.parent / "out").exists()


def test_all_bands_of_a_block_count_where_they_are_interleaved(empty):
    size = {"height": 4096, "width": 4096, "count": 20, "blockysize": 4096}
    with open_raster(empty(**size, interleave="band")) as dataset:
        assert dataset.count == 20
    with (
        pytest.raises(SceneError, match=r"2\.68 GB"),
        open_raster(empty(**size, interleave="pixel")),
    ):
        pass


def test_the_same_strip_in_an_archive_is_refused(empty, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(empty(60_000, 60_000, blockysize=60_000), "strip.tif")
    with (
        pytest.raises(SceneError, match=r"28\.8 GB"),
        open_raster(f"/vsizip/{tmp_path}/a.zip/strip.tif"),
    ):
        pass


@pytest.mark.parametrize("options", [{"blockysize": 1}, {"tiled": True}], ids=["rows", "tiles"])
def test_large_scenes_that_stream_are_planned(empty, options):
    scene = empty(18_000, 36_000, **options)
    classifier = Mixing()
    grid = GridOptions(tile=96, stride=48)
    plan = plan_scene(RasterSource(str(scene)), classifier, ReadOptions(), grid)
    assert plan.work.grid.rows == 374
    assert sum(len(unit) for unit in plan.work.units) == 374


def test_a_whole_chip_is_not_read_where_it_does_not_fit(empty):
    chip = empty(18_000, 36_000, blockysize=1)
    chips = ChipFiles([chip], np.zeros(1, np.int64), 1, 64)
    with pytest.raises(DataError, match=r"18000 x 36000 pixels in 1 band\(s\) takes about 5.18 GB"):
        chips.read(0)


@pytest.mark.parametrize("side", [2**31 - 1, 2**31, 2**32 - 1])
def test_a_small_file_that_claims_absurd_sides_is_refused_at_once(tmp_path, side):
    for name, options in (
        ("strips", {}),
        ("tiles", {"tiled": True, "blockxsize": 16, "blockysize": 16}),
    ):
        file = write_raster(tmp_path / f"{name}.tif", np.zeros((1, 16, 16), np.uint8), **options)
        content = bytearray(file.read_bytes())
        for entry in layout(content).entries:
            if entry.tag in (256, 257):
                struct.pack_into("<HII", content, entry.place + 2, 4, 1, side)
        file.write_bytes(content)
        assert len(content) < 2000
        started = time.perf_counter()
        with pytest.raises(SceneError):
            predict_scene(file, Mixing(), tmp_path / "out")
        assert time.perf_counter() - started < 2


def test_rows_that_do_not_fit_and_too_many_cells_are_refused():
    with pytest.raises(MemoryError, match=r"1 x 2147483647 pixels and 3 classes takes .* TB"):
        require_size(TileGrid.over(1, 2**31 - 1, 224), 3, 4)
    with pytest.raises(SceneError, match="cells of 8 px of a scene of 2147483647 x 2147483647"):
        require_size(TileGrid.over(2**31 - 1, 2**31 - 1, 16), 3, 4)
    require_size(TileGrid.over(18_000, 36_000, 96), 100, 4)


def test_an_absurd_pixel_size_is_not_matched(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", np.zeros((1, 16, 16), np.float32))
    with pytest.raises(SceneError, match="allowed are 2147483647 a side"):
        predict_scene(scene, Mixing(), tmp_path / "out", options=ReadOptions(None, 1e-9, True))


def test_free_memory_heeds_the_limits_of_the_process(monkeypatch, rsmeta_python):
    assert 0 < free_memory() <= psutil.virtual_memory().total
    code = (
        "import resource, psutil; from rsmeta.memory import free_memory\n"
        "taken = psutil.Process().memory_info().vms\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + 10**8, resource.RLIM_INFINITY))\n"
        "print(free_memory() <= 10**8)"
    )
    assert rsmeta_python(code).strip() == "True"


def test_little_is_not_asked_about(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    require_memory(2**28, "it", "do")
    with pytest.raises(MemoryError, match="it takes about 268 MB, 0 MB are free; do"):
        require_memory(2**28 + 1, "it", "do")
