import geopandas
import numpy as np
import pytest
import rasterio

from rsmeta.errors import SceneError
from rsmeta.scenes import predict_scene


def test_sentinel1_footprint_is_kept(real_scenes, constant, tmp_path):
    scene = real_scenes / "sar" / "s1_vv_db_nodata-99_f32.tif"
    done = predict_scene(scene, constant(tile_size=32), tmp_path)
    with rasterio.open(scene) as source, rasterio.open(done.classes) as out:
        assert (out.crs, out.bounds, out.shape) == (source.crs, source.bounds, source.shape)
        np.testing.assert_array_equal(out.read(1) != 255, source.read(1) != -99)
        bounds = source.bounds
    left, bottom, right, top = geopandas.read_file(done.polygons).total_bounds
    assert left >= bounds.left and bottom >= bounds.bottom
    assert right <= bounds.right and top <= bounds.top


@pytest.mark.parametrize(
    "name",
    [
        "broken/truncated_60pct.derived.tif",
        "broken/header_only_1KB.derived.tif",
        "broken/empty_0B.derived.tif",
        "broken/not_a_tiff.derived.tif",
        "sar/s1_slc_vhvv_complex64_no_georef.derived.tif",
    ],
)
def test_unusable_scenes_end_in_one_line(real_scenes, constant, tmp_path, name):
    out = tmp_path / "out"
    with pytest.raises(SceneError) as caught:
        predict_scene(real_scenes / name, constant(tile_size=128), out, stride=128)
    assert "\n" not in str(caught.value)
    assert (real_scenes / name).name in str(caught.value)
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "sar/s1_grd_gcps_only_u16_cog.tif",
        "odd/rpc_only_u16.tif",
        "odd/rotated_tiny_no_crs.tif",
        "odd/tiny_2x3_f32_nan.tif",
        "odd/mars_hirise_rgb.tif",
        "odd/all_nodata_u16_4band.tif",
        "odd/f32_nodata0_with_nan.tif",
        "odd/full_earth_f64.tif",
        "optical/goes_geostationary_rgb.tif",
        "optical/landsat_rgb_u8_external_msk.tif",
        "multispectral/s2l1c_13band_i16.tif",
    ],
)
@pytest.mark.parametrize("resolution", ["pixel", "cell"])
def test_awkward_scenes_give_all_products(real_scenes, constant, tmp_path, name, resolution):
    with rasterio.open(real_scenes / name) as source:
        expected = source.dataset_mask() > 0 if "nan" not in name else None
        bands = tuple(f"band {i}" for i in range(source.count))
        done = predict_scene(
            real_scenes / name, constant(bands, tile_size=64), tmp_path, resolution=resolution
        )
        with rasterio.open(done.classes) as out:
            assert out.crs == source.crs
            assert len(out.gcps[0]) == len(source.gcps[0])
            assert (out.rpcs is None) == (source.rpcs is None)
            if resolution == "pixel":
                assert out.shape == source.shape
                assert out.transform.almost_equals(source.transform)
                if expected is not None and source.count == 1:
                    np.testing.assert_array_equal(out.read(1) != 255, expected)
    frame = geopandas.read_file(done.polygons)
    assert (len(frame) > 0) == (sum(done.pixels.values()) > 0) == ("all_nodata" not in name)
