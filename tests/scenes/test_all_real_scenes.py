"""Every file of the collection of real scenes, through prediction, against GDAL's view of it."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import AffineTransformer, GCPTransformer, RPCTransformer

from rsmeta.errors import SceneError
from rsmeta.scenes import ReadOptions, predict_scene
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import open_scene
from rsmeta.scenes.reader import match_bands, read_tiles
from rsmeta.scenes.source import BandPattern, RasterSource

FOLDER = Path(os.environ.get("RSMETA_SHARED", "../shared")) / "data" / "scenes"
HUGE = "odd/huge_36000x18000_u8_3MB.tif"
REFUSED = {
    "broken/truncated_60pct.derived.tif": "truncated",
    "broken/header_only_1KB.derived.tif": "cannot be opened",
    "broken/empty_0B.derived.tif": "empty",
    "broken/not_a_tiff.derived.tif": "cannot be opened",
    "sar/s1_slc_vhvv_complex64_no_georef.derived.tif": "--complex amplitude",
    "odd/palette_u8_cog.tif": "palette",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real scenes at {FOLDER}"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]


def listed():
    table = FOLDER / "scenes.csv"
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def transformer(dataset):
    """GDAL's transformer for what georeferences a raster."""
    if dataset.gcps[0]:
        return GCPTransformer(dataset.gcps[0])
    if dataset.rpcs is not None:
        return RPCTransformer(dataset.rpcs)
    return AffineTransformer(dataset.transform)


@pytest.mark.parametrize("name", [name for name in listed() if name not in {*REFUSED, HUGE}])
@pytest.mark.parametrize("resolution", ["pixel", "cell"])
def test_products_lie_where_gdal_sees_the_scene(
    constant, tmp_path, name, resolution, record_property
):
    record_property("scene", name)
    with rasterio.open(FOLDER / name) as source, transformer(source) as gdal:
        height, width = source.shape
        expected_crs = source.crs, source.gcps[1]
        rows = [0, 0, height, height, height / 3]
        columns = [0, width, 0, width, width / 7]
        ground = gdal.xy(rows, columns, offset="ul")
        expected = np.array(gdal.rowcol(*ground, op=float))
        bands = tuple(f"band {i}" for i in source.indexes)
    done = predict_scene(
        FOLDER / name, constant(bands, tile_size=64), tmp_path, stride=64, resolution=resolution
    )
    factor = 1 if resolution == "pixel" else 64
    for product in (done.classes, done.confidence):
        with rasterio.open(product) as out, transformer(out) as gdal:
            assert out.shape == (-(-height // factor), -(-width // factor))
            assert (out.crs, out.gcps[1]) == expected_crs
            found = np.array(gdal.rowcol(*ground, op=float)) * factor
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    record_property("outcome", "mapped where GDAL sees it")


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_unusable_files_are_refused_in_one_line(constant, tmp_path, name, reason, record_property):
    record_property("scene", name)
    with pytest.raises(SceneError, match=reason) as caught:
        predict_scene(FOLDER / name, constant(tile_size=128), tmp_path / "out", stride=128)
    assert "\n" not in str(caught.value)
    assert Path(name).name in str(caught.value)
    assert not list(tmp_path.rglob("*.*"))
    record_property("outcome", f"refused in one line ({type(caught.value).__name__})")


@pytest.mark.parametrize("part", ["amplitude", "power"])
def test_complex_sar_as_amplitude_or_power(constant, tmp_path, part, record_property):
    name = "sar/s1_slc_vhvv_complex64_no_georef.derived.tif"
    record_property("scene", name)
    scene = FOLDER / name
    with open_scene(RasterSource(str(scene)), ("VV",), ReadOptions(part)) as opened:
        window = rasterio.windows.Window(3, 5, 20, 30)
        values, valid = opened.read(window, (2, 1))
    with rasterio.open(scene) as source:
        raw = source.read([2, 1], window=window)
    expected = np.abs(raw) if part == "amplitude" else raw.real**2 + raw.imag**2
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert valid.all()
    done = predict_scene(scene, constant(("VH", "VV")), tmp_path, options=ReadOptions(part))
    assert sum(done.pixels.values()) == 65 * 65
    record_property("outcome", "mapped with --complex")


@pytest.mark.parametrize(
    ("pattern", "bands"),
    [
        ("landsat5_bands/LT52240631988227CUB02_{band}.TIF", ("B1", "B2", "B3", "B4", "B5", "B7")),
        (
            "s2_beaufort_bands/2018-10-13, Sentinel-2B L1C, {band}.tiff",
            ("B02", "B03", "B04", "B08"),
        ),
    ],
)
def test_single_band_files_are_one_scene(constant, tmp_path, pattern, bands):
    path = str(FOLDER / "multispectral" / pattern)
    done = predict_scene(BandPattern(path), constant(bands, tile_size=256), tmp_path, stride=256)
    first = path.replace("{band}", bands[0])
    with rasterio.open(first) as source, rasterio.open(done.classes) as out:
        assert (out.crs, out.transform, out.shape) == (source.crs, source.transform, source.shape)
        every = [rasterio.open(path.replace("{band}", band)) for band in bands]
        valid = np.logical_and.reduce([dataset.read_masks(1) > 0 for dataset in every])
        np.testing.assert_array_equal(out.read(1) != 255, valid)
    for dataset in every:
        dataset.close()


def test_one_row_of_tiles_of_the_huge_scene(constant, record_property):
    record_property("scene", HUGE)
    model = constant()
    with open_scene(RasterSource(str(FOLDER / HUGE)), model.bands) as scene:
        grid = TileGrid.over(scene.height, scene.width, 224, 224)
        indexes = match_bands(scene, model.bands)
        tiles, valid = read_tiles(scene, indexes, grid, range(40, 41), range(100, 104), model)
        assert (scene.height, scene.width) == (18_000, 36_000)
        place = scene.georeference
    with rasterio.open(FOLDER / HUGE) as source:
        assert (place.crs, place.transform) == (source.crs, source.transform)
        values = source.read(1, window=rasterio.windows.Window(22_400, 8_960, 896, 224))
    np.testing.assert_array_equal(valid, values != 0)
    for tile in tiles:
        left = (tile.column - 100) * 224
        part = values[:, left : left + 224]
        np.testing.assert_array_equal(tile.values[0], np.where(part == 0, model.fill[0], part))
    record_property("outcome", "tiles read as they are")
