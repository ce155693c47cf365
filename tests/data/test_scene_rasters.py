import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import Affine, from_origin
from scene_files import CRS, TRANSFORM, ramp, write_raster

from rsmeta.data.scene_rasters import describe_scene
from rsmeta.errors import DataError


def read(scene, *square):
    with scene.open() as reader:
        return reader.read(*square)


def plane(step, side):
    """A plane over the ground, sampled at pixels of `step` x 10 m; linear, as is the resampling."""
    row, column = (np.indices((side, side)) + 0.5) * step
    return (3 * column + 7 * row).astype(np.float32)[None]


@pytest.fixture
def three_resolutions(tmp_path):
    """B02 at 10 m, B05 at 20 m and B01 at 60 m on one footprint of 1200 m."""
    sides = {"B01": 6, "B05": 2, "B02": 1}
    return {
        name: write_raster(
            tmp_path / f"{name}.tif",
            plane(step, 120 // step),
            transform=from_origin(500_000, 5_700_000, 10 * step, 10 * step),
        )
        for name, step in sides.items()
    }


@pytest.mark.parametrize("bands", [["B02", "B05", "B01"], ["B01", "B02", "B05"]])
def test_bands_of_several_resolutions_are_read_on_the_finest_grid(three_resolutions, bands):
    scene = describe_scene(three_resolutions, bands)
    assert scene.grid.pixel_metres == pytest.approx(10)
    assert (scene.grid.height, scene.grid.width) == (120, 120)
    chip = read(scene, 40, 24, 16)
    assert chip.shape == (3, 16, 16)
    for band in chip:
        np.testing.assert_allclose(band, plane(1, 120)[0, 24:40, 40:56], rtol=1e-5)


def test_a_coarse_band_alone_keeps_its_own_pixels(three_resolutions):
    scene = describe_scene(three_resolutions, ["B05"])
    np.testing.assert_array_equal(read(scene, 3, 5, 8)[0], plane(2, 60)[0, 5:13, 3:11])


def test_a_window_of_a_raster_is_its_pixels(tmp_path):
    path = write_raster(tmp_path / "a.tif", ramp(2, 40, 50))
    chip = read(describe_scene(path, ["VV", "VH"]), 30, 12, 9)
    np.testing.assert_array_equal(chip, ramp(2, 40, 50)[:, 12:21, 30:39])


def test_bands_are_found_by_their_descriptions(tmp_path):
    path = write_raster(tmp_path / "a.tif", ramp(3, 20, 20), names=["vh", "mask", "VV"])
    chip = read(describe_scene(path, ["VV", "VH"]), 0, 0, 4)
    np.testing.assert_array_equal(chip, ramp(3, 20, 20)[[2, 0], :4, :4])


def test_without_descriptions_the_number_of_bands_must_agree(tmp_path):
    path = write_raster(tmp_path / "a.tif", ramp(3, 20, 20))
    with pytest.raises(DataError, match=r"a\.tif' has 3 bands and not all the names VV, VH"):
        describe_scene(path, ["VV", "VH"])


@pytest.mark.parametrize("step", [1, 2])
def test_scale_and_nodata_hold_on_any_grid(tmp_path, step):
    values = np.full((1, 120 // step, 120 // step), 2500, dtype=np.uint16)
    values[0, : 60 // step, : 60 // step] = 9
    place = from_origin(500_000, 5_700_000, 10 * step, 10 * step)
    other = write_raster(tmp_path / "b.tif", values, transform=place, nodata=9, scale=1e-4)
    files = {"VV": write_raster(tmp_path / "a.tif", ramp(1, 120, 120)), "VH": other}
    chip = read(describe_scene(files, ["VV", "VH"]), 50, 50, 20)
    np.testing.assert_allclose(chip[1, 10:, 10:], 0.25)
    assert np.isnan(chip[:, :10, :10]).all()
    assert np.isfinite(chip[:, 10:, 10:]).all()


def test_beyond_a_smaller_raster_there_is_no_data(tmp_path):
    files = {
        "VV": write_raster(tmp_path / "a.tif", ramp(1, 40, 40)),
        "VH": write_raster(tmp_path / "b.tif", np.zeros((1, 40, 20), dtype=np.uint8)),
    }
    chip = read(describe_scene(files, ["VV", "VH"]), 10, 10, 20)
    assert np.isfinite(chip[:, :, :10]).all()
    assert np.isnan(chip[:, :, 10:]).all()


def test_a_band_in_another_crs_is_reprojected(tmp_path):
    """A plane in latitude, seen from UTM."""
    latitude = 51.45 - (np.arange(200) + 0.5) * 2e-4
    degrees = np.broadcast_to(latitude[:, None], (1, 200, 300)).astype(np.float32)
    files = {
        "VV": write_raster(tmp_path / "a.tif", ramp(1, 100, 100)),
        "VH": write_raster(
            tmp_path / "b.tif",
            degrees,
            crs="EPSG:4326",
            transform=from_origin(3, 51.45, 2e-4, 2e-4),
        ),
    }
    scene = describe_scene(files, ["VV", "VH"])
    to_degrees = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    x, y = scene.grid.transform @ (40.5, 30.5)
    assert read(scene, 40, 30, 2)[1, 0, 0] == pytest.approx(to_degrees.transform(x, y)[1], abs=2e-5)


@pytest.mark.parametrize(
    ("crs", "transform", "metres"),
    [
        (CRS, TRANSFORM, 10),
        (CRS, Affine(0, 10, 500_000, 10, 0, 5_700_000), 10),
        ("EPSG:2263", from_origin(900_000, 200_000, 10, 10), 10 * 1200 / 3937),
        ("EPSG:4326", from_origin(10, 60, 2e-4, 1e-4), None),
        ("EPSG:4326", from_origin(10, -5, 1e-4, 1e-4), None),
    ],
)
def test_size_of_a_pixel_on_the_ground(tmp_path, crs, transform, metres):
    path = write_raster(tmp_path / "a.tif", ramp(1, 30, 40), crs=crs, transform=transform)
    if metres is None:
        corners = [
            transform @ xy for xy in ((19.5, 14.5), (20.5, 14.5), (20.5, 15.5), (19.5, 15.5))
        ]
        area, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shapely.Polygon(corners))
        metres = abs(area) ** 0.5
    assert describe_scene(path, ["VV"]).grid.pixel_metres == pytest.approx(metres, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": None}, "has no CRS or no geotransform"),
        ({"transform": Affine.identity()}, "has no CRS or no geotransform"),
        ({"transform": from_origin(700_000, 5_700_000, 10, 10)}, "lies beside the other bands"),
        ({"values": ramp(2, 20, 20)}, "of band 'VH' has 2 bands; give a raster of one band"),
    ],
)
def test_files_that_make_no_scene_are_one_line_with_their_path(tmp_path, change, message):
    values = change.pop("values", ramp(1, 20, 20))
    files = {
        "VV": write_raster(tmp_path / "a.tif", ramp(1, 20, 20)),
        "VH": write_raster(tmp_path / "b.tif", values, **change),
    }
    with pytest.raises(DataError, match=message) as caught:
        describe_scene(files, ["VV", "VH"])
    assert "b.tif" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_one_line_with_its_path(tmp_path):
    whole = write_raster(tmp_path / "a.tif", ramp(1, 200, 200))
    broken = write_raster(tmp_path / "b.tif", ramp(1, 200, 200))
    broken.write_bytes(broken.read_bytes()[:80_000])
    scene = describe_scene({"VV": whole, "VH": broken}, ["VV", "VH"])
    with pytest.raises(DataError, match=r"b\.tif' cannot be read to the end"):
        read(scene, 180, 180, 20)


@pytest.mark.parametrize("name", ["rotated_tiny_no_crs.tif", "rpc_only_u16.tif"])
def test_real_scenes_without_a_place_are_refused(shared, name):
    path = shared / "data" / "scenes" / "odd" / name
    with rasterio.open(path) as raster:
        bands = ["VV", "VH", "HH", "HV"][: raster.count]
    with pytest.raises(DataError, match="no CRS or no geotransform"):
        describe_scene(path, bands)
