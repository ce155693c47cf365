import logging

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsmeta.errors import SceneError
from rsmeta.scenes import ReadOptions, predict_scene, scene_sources
from rsmeta.scenes.opening import open_scene
from rsmeta.scenes.products import Georeference
from rsmeta.scenes.resampling import Grid

FINE = from_origin(500_000, 4_800_000, 10, 10)
COARSE = from_origin(500_000, 4_800_000, 20, 20)


def all_of(scene):
    return Window(0, 0, scene.width, scene.height)


def bilinear(band, valid, shape):
    """Values at the centres of a finer grid, from valid neighbours alone; in float64."""
    height, width = band.shape
    y = (np.arange(shape[0]) + 0.5) * height / shape[0] - 0.5
    x = (np.arange(shape[1]) + 0.5) * width / shape[1] - 0.5
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    total, weights = np.zeros(shape), np.zeros(shape)
    for rows, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for columns, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
            cell = np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
            weight = wy[:, None] * wx * inside * valid[cell]
            total += weight * np.where(valid, band, 0)[cell]
            weights += weight
    return total, weights


@pytest.mark.parametrize("kind", ["plain", "nodata", "mask", "alpha", "uint8 with scale"])
@pytest.mark.parametrize("place", ["north up", "rotated", "nowhere"])
def test_coarser_bands_are_read_bilinearly_on_the_finest_grid(
    write_scene, noise, recwarn, kind, place
):
    fine, coarse = noise(60, 80)[0], noise(30, 40, seed=1)[0]
    valid = np.ones((30, 40), dtype=bool)
    options = {}
    if kind != "plain":
        valid[4:9, 11:30] = False
    if kind == "nodata":
        coarse[~valid], options = -99, {"nodata": -99}
    elif kind == "mask":
        options = {"mask": valid}
    elif kind == "uint8 with scale":
        coarse = np.random.default_rng(2).integers(1, 250, coarse.shape).astype(np.uint8)
        coarse[~valid], options = 0, {"nodata": 0}
    stored = np.stack([coarse, 255 * valid]) if kind == "alpha" else coarse[None]
    turned = Affine.translation(500_000, 4_800_000) @ Affine.rotation(20) @ Affine.scale(10, -10)
    where = {
        "north up": ({"transform": FINE}, {"transform": COARSE}),
        "rotated": ({"transform": turned}, {"transform": turned @ Affine.scale(2)}),
        "nowhere": ({"transform": None, "crs": None},) * 2,
    }[place]
    paths = [
        write_scene(fine, "fine.tif", **where[0]),
        write_scene(
            stored.astype(coarse.dtype), "coarse.tif", alpha=kind == "alpha", **where[1], **options
        ),
    ]
    scale, offset = (0.5, 3.0) if "scale" in kind else (1.0, 0.0)
    with rasterio.open(paths[1], "r+") as dataset:
        dataset.scales, dataset.offsets = [(value,) * dataset.count for value in (scale, offset)]
    (source,) = scene_sources([], {"VH": str(paths[1]), "VV": str(paths[0])})
    recwarn.clear()
    with open_scene(source, ("VV", "VH")) as scene:
        assert scene.shape == (60, 80)
        assert not [w for w in recwarn if "georef" in str(w.message)]
        values, found = scene.read(all_of(scene), (1, 2))
        part, _ = scene.read(Window(13, 7, 29, 31), (1, 2))
    total, weights = bilinear(coarse.astype(np.float64), valid, (60, 80))
    if kind == "alpha":  # GDAL gives a pixel the transparency of the nearest
        weights = weights * valid.repeat(2, 0).repeat(2, 1)
    assert found[weights > 0.5].all()
    assert not found[weights == 0].any()
    expected = total[found] / weights[found] * scale + offset
    np.testing.assert_allclose(values[0][found], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(values[1][found], fine[found])
    np.testing.assert_array_equal(part, values[:, 7:38, 13:42])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"transform": from_origin(500_040, 4_800_000, 20, 20)}, "covers another place"),
        ({"transform": FINE}, "covers another place"),
        ({"transform": COARSE, "crs": "EPSG:32632"}, "EPSG:32632.*one CRS a scene"),
        ({"transform": None}, "EPSG:32631 without a transform.*band of its scene in EPSG:32631;"),
        ({"transform": COARSE, "crs": None}, "lies in no CRS, another"),
    ],
)
def test_bands_that_do_not_lie_on_one_another(write_scene, noise, other, message):
    paths = [
        write_scene(noise(60, 80), "fine.tif", transform=FINE),
        write_scene(noise(30, 40), "coarse.tif", **other),
    ]
    (source,) = scene_sources([], {"VV": str(paths[0]), "VH": str(paths[1])})
    with (
        pytest.raises(SceneError, match=rf"coarse\.tif.*{message}") as caught,
        open_scene(source, ("VV", "VH")),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_bands_with_other_ground_control_points(write_scene, noise):
    paths = [
        write_scene(
            noise(20, 30), f"{east}.tif", transform=None, crs="EPSG:4326",
            gcps=[GroundControlPoint(r, c, east + c, -r) for r, c in ((0, 0), (9, 0), (0, 9))],
        )
        for east in (10, 20)
    ]  # fmt: skip
    (source,) = scene_sources([], {"VV": str(paths[0]), "VH": str(paths[1])})
    with pytest.raises(SceneError, match=r"20\.tif.*other GCPs"), open_scene(source, ("VV", "VH")):
        pass
    (source,) = scene_sources([], {"VV": str(paths[0]), "VH": str(paths[0])})
    with open_scene(source, ("VV", "VH")) as scene:
        assert len(scene.georeference.gcps) == 3


def test_footprints_may_differ_by_a_pixel(write_scene, noise):
    paths = [
        write_scene(noise(60, 80), "fine.tif", transform=FINE),
        write_scene(
            np.full((30, 40), 7.0), "x.tif", transform=from_origin(500_015, 4_800_000, 20, 20)
        ),
    ]
    (source,) = scene_sources([], {"VV": str(paths[0]), "VH": str(paths[1])})
    with open_scene(source, ("VV", "VH")) as scene:
        values, valid = scene.read(all_of(scene), (2,))
    assert not valid[:, 0].any()  # the other raster begins to the right of it
    assert valid[:, 2:].all()
    assert (values[0][valid] == 7).all()


@pytest.mark.parametrize(("target", "factor"), [(20.0, 2), (10.5, 1), (5.0, 0.5), (30.0, 3)])
def test_scenes_are_resampled_to_the_pixel_size_of_the_model(
    write_scene, noise, softmax, tmp_path, target, factor
):
    values = noise(60, 90)
    path = write_scene(values)
    options = ReadOptions(pixel_size=target, match_resolution=True)
    done = predict_scene(path, softmax(), tmp_path, options=options)
    with rasterio.open(path) as source, rasterio.open(done.classes) as out:
        assert out.shape == (60 / factor, 90 / factor)
        assert out.transform.almost_equals(source.transform @ Affine.scale(factor), 1e-6)
        np.testing.assert_allclose(out.bounds, source.bounds)
    (source,) = scene_sources([path])
    with open_scene(source, ("VV",), options) as scene:
        found, valid = scene.read(all_of(scene), (1,))
    assert valid.all()
    if factor >= 1:
        whole = values[0].reshape(60 // factor, factor, 90 // factor, factor).mean((1, 3))
    else:
        whole, _ = bilinear(values[0].astype(float), np.ones((60, 90), bool), (120, 180))
        found, whole = found[:, 1:-1, 1:-1], whole[1:-1, 1:-1]
    np.testing.assert_allclose(found[0], whole, rtol=1e-4, atol=1e-5)


def test_the_mean_of_valid_pixels_alone_in_any_window(write_scene, noise):
    values = noise(70, 55, bands=2)
    valid = np.random.default_rng(5).random((2, 70, 55)) > 0.4
    path = write_scene(np.where(valid, values, -99), nodata=-99)
    (source,) = scene_sources([path])
    options = ReadOptions(pixel_size=50, match_resolution=True)
    with open_scene(source, ("VV", "VH"), options) as scene:
        found, _ = scene.read(all_of(scene), (2, 1))
        part, _ = scene.read(Window(3, 2, 5, 9), (2, 1))
    blocks = np.where(valid, values, np.nan).reshape(2, 14, 5, 11, 5)
    np.testing.assert_allclose(found[::-1], np.nanmean(blocks, axis=(2, 4)), rtol=1e-4)
    np.testing.assert_array_equal(part, found[:, 2:11, 3:8])


def test_ground_control_points_keep_their_place(write_scene, noise, constant, tmp_path):
    points = [
        GroundControlPoint(row, column, 500_000 + 10 * column, 4_800_000 - 10 * row)
        for row, column in ((0, 0), (0, 90), (60, 0), (60, 90))
    ]
    path = write_scene(noise(60, 90), transform=None, crs="EPSG:32631", gcps=points)
    options = ReadOptions(pixel_size=20, match_resolution=True)
    done = predict_scene(path, constant(), tmp_path, options=options)
    with rasterio.open(done.classes) as out:
        assert out.shape == (30, 45)
        assert (out.read(1) == 1).all()
        found = [(g.row * 2, g.col * 2, g.x, g.y) for g in out.gcps[0]]
    assert found == [(g.row, g.col, g.x, g.y) for g in points]


@pytest.mark.parametrize(
    ("size", "warned"), [(10.5, False), (11.5, True), (8, True), (None, False)]
)
def test_another_pixel_size_is_told_in_one_line(
    write_scene, noise, constant, tmp_path, caplog, size, warned
):
    with caplog.at_level(logging.WARNING):
        predict_scene(
            write_scene(noise(20, 20)), constant(), tmp_path, options=ReadOptions(pixel_size=size)
        )
    assert len(caplog.records) == warned
    if warned:
        message = caplog.records[0].getMessage()
        assert "pixels of 10 m" in message and f"{size:g} m" in message
        assert "\n" not in message


def test_resolutions_that_are_not_known(write_scene, noise, constant, tmp_path):
    with pytest.raises(SceneError, match="nothing to match"):
        ReadOptions(match_resolution=True)
    path = write_scene(noise(20, 20), transform=None, crs=None)
    options = ReadOptions(pixel_size=10, match_resolution=True)
    with pytest.raises(SceneError, match=r"scene\.tif' does not tell its pixel size"):
        predict_scene(path, constant(), tmp_path / "out", options=options)


def test_complex_values_are_read_as_asked_and_not_resampled(write_scene, noise):
    values = noise(20, 30) + 1j * noise(20, 30, seed=3)
    (source,) = scene_sources([write_scene(values.astype(np.complex64))])
    for part, expected in (("amplitude", np.abs(values)), ("power", np.abs(values) ** 2)):
        with open_scene(source, ("VV",), ReadOptions(part)) as scene:
            np.testing.assert_allclose(scene.read(all_of(scene), (1,))[0], expected, rtol=1e-6)
    with (
        pytest.raises(SceneError, match="--complex amplitude"),
        open_scene(source, ("VV",)),
    ):
        pass
    options = ReadOptions("power", pixel_size=40, match_resolution=True)
    with pytest.raises(SceneError, match="cannot be resampled"), open_scene(source, (), options):
        pass


@pytest.mark.parametrize(("shape", "other"), [((10, 40), (5, 4)), ((6, 9), (6, 3))])
def test_grids_without_transforms_share_their_corners(shape, other):
    """Rows and columns have each their own factor."""
    nowhere = Georeference(None, Affine.identity(), (), None, None)
    grid, coarse = Grid(shape, nowhere), Grid(other, nowhere)
    height, width = shape
    assert grid.frame(coarse) @ (other[1], other[0]) == (width, height)
    assert grid.distance(coarse) == 0
