import numpy as np
import pytest
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine

from rsmeta.data.chip_windows import chip_corners, kind_of, polygon_cover

BLOB = shapely.Point(40, 30).buffer(17).difference(shapely.box(35, 10, 38, 33))
BAR = shapely.LineString([(5, 5), (90, 60)]).buffer(3)
SHAPES = [BLOB, BAR, shapely.union(BLOB, BAR), shapely.box(3.2, 4.1, 30.7, 22.9)]
FINE = 20


def rasterised_cover(geometry, column, row, chip):
    """The share of covered points, on a grid of FINE points along each pixel."""
    cells = Affine(1 / FINE, 0, column, 0, 1 / FINE, row)
    return rasterize([geometry], out_shape=(chip * FINE, chip * FINE), transform=cells).mean()


@pytest.mark.parametrize("geometry", SHAPES)
@pytest.mark.parametrize("chip", [3, 8, 16])
def test_cover_is_the_covered_area(geometry, chip):
    corners = np.array([[c, r] for c in range(-4, 60, 13) for r in range(-4, 50, 9)])
    expected = [rasterised_cover(geometry, *corner, chip) for corner in corners]
    np.testing.assert_allclose(polygon_cover(geometry, corners, chip), expected, atol=0.01)


@pytest.mark.parametrize("geometry", SHAPES)
@pytest.mark.parametrize(("chip", "stride"), [(4, 4), (8, 8), (8, 4), (5, 2.5)])
@pytest.mark.parametrize("least", [0.25, 0.5, 1.0])
def test_every_chip_of_a_polygon_is_covered_enough_and_there_once(geometry, chip, stride, least):
    corners = chip_corners(geometry, chip, stride, least)
    assert (polygon_cover(geometry, corners, chip) > least - 0.0011).all()
    assert len(np.unique(corners, axis=0)) == len(corners)


@pytest.mark.parametrize(("least", "count"), [(0.5, 1), (0.8, 0)])
def test_a_polygon_smaller_than_a_chip_is_in_its_middle_if_it_covers_enough(least, count):
    corners = chip_corners(shapely.box(10, 20, 18, 27), 9, 9, least)
    assert corners.tolist() == [[10, 19]] * count
    assert rasterised_cover(shapely.box(10, 20, 18, 27), 10, 19, 9) == pytest.approx(56 / 81)


def test_a_large_polygon_gives_a_centred_grid():
    corners = chip_corners(shapely.box(0, 0, 26, 17), 8, 8, 0.5)
    assert corners.tolist() == [[1, 1], [1, 9], [9, 1], [9, 9], [17, 1], [17, 9]]


def test_a_smaller_stride_gives_overlapping_chips():
    corners = chip_corners(shapely.box(0, 0, 16, 8), 8, 4, 0.5)
    assert corners.tolist() == [[0, 0], [4, 0], [8, 0]]


def test_each_part_of_a_polygon_has_its_own_grid():
    parts = shapely.MultiPolygon([shapely.box(0, 0, 8, 8), shapely.box(100, 51, 108, 59)])
    assert chip_corners(parts, 8, 8, 0.9).tolist() == [[0, 0], [100, 51]]


def test_where_the_grid_misses_a_polygon_a_point_inside_it_is_tried():
    hook = shapely.union(shapely.box(0, 0, 30, 4), shapely.box(26, 0, 30, 30))
    ring = shapely.Point(20, 20).buffer(15).difference(shapely.Point(20, 20).buffer(11))
    for geometry in (hook, ring):
        corners = chip_corners(geometry, 4, 40, 0.4)
        assert len(corners) == 1
        assert rasterised_cover(geometry, *corners[0], 4) >= 0.4


@pytest.mark.parametrize(
    ("chip", "xy", "corner"),
    [(8, (20, 30), (16, 26)), (7, (20.5, 30.5), (17, 27)), (8, (20.6, 30.4), (17, 26))],
)
def test_a_point_is_in_the_middle_of_its_chip(chip, xy, corner):
    assert chip_corners(shapely.Point(xy), chip, chip, 0.5).tolist() == [list(corner)]


def test_points_of_one_feature_that_share_a_chip_give_it_once():
    points = shapely.MultiPoint([(20, 30), (20.1, 30.1), (50, 30)])
    assert chip_corners(points, 8, 8, 0.5).tolist() == [[16, 26], [46, 26]]


def test_a_line_gives_chips_at_steps_along_it_whatever_it_covers():
    line = shapely.LineString([(0, 10), (20, 10), (20, 30)])
    middles = chip_corners(line, 8, 8, 1.0) + 4
    along = [line.project(shapely.Point(middle)) for middle in middles]
    assert sorted(along) == [0, 8, 16, 24, 32, 40]
    assert [line.distance(shapely.Point(m)) for m in middles] == [0] * 6


def test_a_line_shorter_than_a_chip_gives_the_chip_in_its_middle():
    assert chip_corners(shapely.LineString([(0, 0), (4, 0)]), 8, 8, 0.5).tolist() == [[-2, -4]]


def test_of_a_collection_the_parts_of_highest_dimension_count():
    mixed = shapely.GeometryCollection(
        [shapely.Point(90, 90), shapely.MultiPolygon([shapely.box(0, 0, 8, 8)])]
    )
    assert kind_of(mixed) == "polygon"
    assert chip_corners(mixed, 8, 8, 0.5).tolist() == [[0, 0]]
