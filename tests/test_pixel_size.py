import numpy as np
import pyproj
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile
from rasterio.rpc import RPC
from rasterio.transform import from_bounds, from_origin

from rsmeta.pixel_size import PixelSize, pixel_size


def size_of(width=100, height=80, gcps=None, rpcs=None, **place):
    with MemoryFile() as file:
        with file.open(
            driver="GTiff", width=width, height=height, count=1, dtype="uint8", **place
        ) as out:
            if gcps:
                out.gcps = gcps
            if rpcs:
                out.rpcs = rpcs
        with rasterio.open(file.name) as dataset:
            return pixel_size(dataset)


def test_geographic_crs_at_the_centre():
    place = {"crs": "EPSG:4326", "transform": from_bounds(10, 59, 11, 61, 100, 80)}
    size = size_of(**place)
    radius, squared = 6_378_137.0, 2 / 298.257223563 - 1 / 298.257223563**2
    bent = 1 - squared * np.sin(np.radians(60)) ** 2
    x = np.radians(1 / 100) * radius * np.cos(np.radians(60)) / np.sqrt(bent)
    y = np.radians(2 / 80) * radius * (1 - squared) / bent**1.5
    np.testing.assert_allclose(size, (x, y), rtol=1e-6)


def test_projected_crs_on_the_ground():
    utm = {"crs": "EPSG:32631", "transform": from_origin(500_000, 4_800_000, 10, 10)}
    np.testing.assert_allclose(size_of(**utm), 10 / 0.9996, rtol=1e-5)
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(10, 60)
    mercator = {"crs": "EPSG:3857", "transform": from_origin(x, y, 10, 10)}
    np.testing.assert_allclose(size_of(**mercator), 5, rtol=0.01)
    feet = {"crs": "EPSG:2263", "transform": from_origin(1_000_000, 200_000, 10, 10)}
    np.testing.assert_allclose(size_of(**feet), 3.048, rtol=1e-3)


def test_rotated_pixels():
    turned = Affine.translation(500_000, 4_800_000) @ Affine.rotation(30) @ Affine.scale(4, -9)
    np.testing.assert_allclose(size_of(crs="EPSG:32631", transform=turned), (4, 9), rtol=1e-3)


def test_ground_control_points_and_rational_polynomials():
    points = [
        GroundControlPoint(row, column, 500_000 + 7 * column, 4_800_000 - 5 * row)
        for row, column in ((0, 0), (0, 100), (80, 0), (80, 100))
    ]
    np.testing.assert_allclose(size_of(gcps=(points, "EPSG:32631")), (7, 5), rtol=1e-3)
    one = [1.0] + [0.0] * 19
    polynomials = RPC(
        height_off=0, height_scale=1, lat_off=0, lat_scale=1, long_off=10, long_scale=1,
        line_off=40, line_scale=1000, samp_off=50, samp_scale=1000,
        line_num_coeff=[0, 0, -1.0] + [0] * 17, line_den_coeff=one,
        samp_num_coeff=[0, 1.0] + [0] * 18, samp_den_coeff=one, err_bias=None, err_rand=None,
    )  # fmt: skip
    found = size_of(rpcs=polynomials)
    np.testing.assert_allclose(found, (111.32, 110.57), rtol=1e-3)


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"transform": from_origin(0, 0, 3, 3)},
        {"crs": 'LOCAL_CS["site",UNIT["metre",1]]', "transform": from_origin(0, 0, 3, 3)},
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_unknown_without_a_place_on_the_ground(place):
    assert size_of(**place) is None


def test_one_number_for_squares():
    assert str(PixelSize(10.0, 10.004)) == "10 m"
    assert str(PixelSize(1113.2, 0.5)) == "1113 × 0.5 m"
