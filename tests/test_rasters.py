import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsmeta.errors import DataError, SceneError
from rsmeta.rasters import data_indexes, open_raster, read_masked


@pytest.fixture
def write(tmp_path):
    def write(values, *, name="raster.tif", mask=None, interp=None, scales=None, **options):
        path = tmp_path / name
        bands, height, width = values.shape
        with rasterio.open(
            path, "w", driver="GTiff", count=bands, height=height, width=width,
            dtype=values.dtype, crs="EPSG:32631", transform=from_origin(0, 0, 9, 9), **options,
        ) as dataset:  # fmt: skip
            if interp:
                dataset.colorinterp = interp
            dataset.write(values)
            if scales:
                dataset.scales, dataset.offsets = scales
            if mask is not None:
                dataset.write_mask(mask)
        return path

    return write


def read(path, *args, **options):
    with open_raster(path) as dataset:
        return read_masked(dataset, *args, **options)


def test_plain_raster_is_all_valid(write):
    raw = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    values, valid = read(write(raw))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, raw)
    assert valid.all() and valid.shape == (3, 4)


def test_window_and_indexes(write):
    raw = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    values, valid = read(write(raw, nodata=42), Window(1, 0, 3, 2), [3, 1])
    inside = np.array([[True, False, True], [True, True, True]])
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_array_equal(values[:, valid], raw[[2, 0], :2, 1:4][:, inside])
    assert np.isnan(values[:, ~valid]).all()


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("int16", -9999), ("float32", -3.4028234663852886e38), ("float64", -1.2e30),
     ("float32", np.nan), ("float32", -99.9)],
)  # fmt: skip
def test_nodata_of_any_band_is_not_valid(write, dtype, nodata):
    raw = np.ones((2, 2, 2), dtype=dtype)
    raw[0, 0, 0] = raw[1, 1, 1] = nodata
    _, valid = read(write(raw, nodata=nodata))
    np.testing.assert_array_equal(valid, [[False, True], [True, False]])
    _, first = read(write(raw, nodata=nodata), indexes=[1])
    np.testing.assert_array_equal(first, [[False, True], [True, True]])


def test_nan_and_infinity_are_not_valid(write):
    raw = np.array([[[1.0, np.nan, np.inf, -np.inf, 1e39, 0.0]]])  # 1e39: not a float32
    _, valid = read(write(raw, nodata=0))
    assert valid.tolist() == [[True, False, False, False, False, False]]


@pytest.mark.parametrize("internal", [True, False])
def test_mask_and_nodata_count_together(write, internal):
    raw = np.array([[[1, 0, 3, 4]]], dtype=np.uint8)
    mask = np.array([[255, 255, 0, 255]], dtype=np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = write(raw, mask=mask, nodata=0)
    assert Path(f"{path}.msk").exists() is not internal
    _, valid = read(path)
    assert valid.tolist() == [[True, False, False, True]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_alpha_is_a_mask_and_no_data(write, dtype):
    raw = np.array([[[5, 6, 7]], [[8, 0, 9]], [[255, 255, 0]]], dtype=dtype)
    if dtype == "uint16":
        raw[2, 0, 0] = 1  # barely opaque, lost when scaled to 8 bits
    path = write(raw, interp=[ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha], nodata=0)
    with open_raster(path) as dataset:
        assert data_indexes(dataset) == (1, 2)
        values, valid = read_masked(dataset)
    assert values.shape == (2, 1, 3)
    assert valid.tolist() == [[True, False, False]]


def test_scale_and_offset_are_applied_after_nodata(write):
    raw = np.array([[[0, 1000, 2000]], [[1, 1, 1]]], dtype=np.int16)
    values, valid = read(write(raw, nodata=0, scales=((1e-4, 2.0), (-0.1, 5.0))))
    assert valid.tolist() == [[False, True, True]]
    np.testing.assert_allclose(values[:, 0, 1:], [[0.0, 0.1], [7, 7]], atol=1e-8)


@pytest.mark.parametrize("error", [SceneError, DataError])
def test_unreadable_files_are_named_in_one_line(tmp_path, write, error):
    whole = write(np.random.default_rng(0).normal(size=(1, 300, 300)))
    files = {
        "missing.tif": None,
        "empty.tif": b"",
        "text.tif": b"no raster at all",
        "header.tif": whole.read_bytes()[:100],
        "truncated.tif": whole.read_bytes()[:400_000],
    }
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(error, match=name) as caught, open_raster(tmp_path / name, error) as d:
            read_masked(d)
        assert "\n" not in str(caught.value)
    with pytest.raises(error), open_raster(tmp_path, error):
        pass


def test_complex_raster_is_refused(write):
    path = write(np.ones((1, 2, 2), dtype=np.complex64))
    with pytest.raises(SceneError, match="complex64"), open_raster(path):
        pass


def test_own_errors_pass_unchanged(write):
    path = write(np.ones((1, 2, 2), dtype=np.uint8))
    with pytest.raises(ZeroDivisionError), open_raster(path):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "name", ["landsat_rgb_u8_external_msk", "aerial_hro_rgb_15cm_internal_mask"]
)
def test_real_mask_bands(name):
    folder = Path(os.environ.get("RSMETA_SHARED", "../shared")) / "data" / "scenes" / "optical"
    if not folder.is_dir():
        pytest.skip(f"no real scenes at {folder}; set RSMETA_SHARED to the folder that has them")
    values, valid = read(folder / f"{name}.tif")
    with rasterio.open(folder / f"{name}.tif") as dataset:
        np.testing.assert_array_equal(valid, dataset.dataset_mask() > 0)
        np.testing.assert_array_equal(values[:, valid], dataset.read()[:, valid])
    assert 0 < valid.mean() < 1
