"""Every valid pixel of any scene is classified, where it lies; no other is."""

from tempfile import TemporaryDirectory

import geopandas
import numpy as np
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from scene_strategies import DrawnScene, places, scenes, transforms, validities
from shapely.affinity import affine_transform
from tile_classifiers import Fixed, Mixing, PixelMean
from trust_examples import examples

from rsmeta.scenes import ProductOptions, predict_scene
from rsmeta.scenes.product_options import DEFAULT_PRODUCTS, Product

COVERED = "every valid pixel is classified, no other"
PIXELS = "a model of single pixels gives each its own class"
TURNED = "georeferencing turned by 90 degrees turns the polygons alone"
MAPS = frozenset({Product.CLASSES, Product.CONFIDENCE})

TILINGS = st.integers(1, 40).flatmap(lambda tile: st.tuples(st.just(tile), st.integers(1, tile)))


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def place_of(path):
    with rasterio.open(path) as dataset:
        return dataset.crs, dataset.transform


def cells_with_data(valid, cell):
    """Cells of so many pixels that hold a valid one, (cell rows, cell columns)."""
    height, width = valid.shape
    whole = np.pad(valid, ((0, -height % cell), (0, -width % cell)))
    return whole.reshape(len(whole) // cell, cell, -1, cell).any(axis=(1, 3))


@examples(40)
@given(
    scene=scenes(),
    tiling=TILINGS,
    resolution=st.sampled_from(["pixel", "cell"]),
    products=st.sampled_from([MAPS, MAPS, DEFAULT_PRODUCTS]),
)
def test_every_valid_pixel_is_covered(tally, scene, tiling, resolution, products):
    tile, stride = tiling
    cell = 1 if resolution == "pixel" else int(np.gcd(tile, stride))
    with TemporaryDirectory() as folder:
        path = scene.write(f"{folder}/scene.tif")
        done = predict_scene(
            path, Fixed(), f"{folder}/out", tile=tile, stride=stride, resolution=resolution,
            products=ProductOptions(products),
        )  # fmt: skip
        covered = cells_with_data(scene.valid, cell)
        np.testing.assert_array_equal(read(done.classes), np.where(covered, 1, 255))
        np.testing.assert_array_equal(
            read(done.confidence), np.where(covered, np.float32(0.7), np.float32(np.nan))
        )
        assert done.pixels == {"water": 0, "forest": int(scene.valid.sum()), "urban": 0}
        crs, transform = place_of(path)
        if not transform.is_identity:
            transform = transform * Affine.scale(cell)
        for product in (done.classes, done.confidence):
            found_crs, found = place_of(product)
            assert found_crs == crs
            np.testing.assert_allclose(found[:6], transform[:6], rtol=1e-14, atol=0)
    tally.add(COVERED, f"as {scene.values.dtype}")


@examples(30)
@given(scene=scenes(largest=24))
def test_single_pixels_keep_their_own_class(tally, scene):
    with TemporaryDirectory() as folder:
        path = scene.write(f"{folder}/scene.tif")
        done = predict_scene(
            path, PixelMean(), f"{folder}/out", tile=1, stride=1, products=ProductOptions(MAPS)
        )
        value = np.where(scene.valid, scene.values[0], 0).astype(np.float32)
        np.testing.assert_array_equal(
            read(done.classes), np.where(scene.valid, value < 1 - value, 255)
        )
        np.testing.assert_array_equal(
            read(done.confidence),
            np.where(scene.valid, np.maximum(value, 1 - value), np.float32(np.nan)),
        )
    tally.add(PIXELS, f"as {scene.values.dtype}")


@st.composite
def georeferenced(draw):
    """A scene for `Mixing` that has a transform."""
    shape = draw(st.integers(8, 60)), draw(st.integers(8, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(size=(1, *shape)).astype(np.float32)
    valid = draw(validities(shape))
    values[:, ~valid] = np.nan
    return DrawnScene(values, valid, draw(places(transforms)))


@examples(15)
@given(scene=georeferenced(), turns=st.integers(1, 3), tiling=TILINGS)
def test_turned_georeferencing_turns_the_polygons_alone(tally, scene, turns, tiling):
    transform = scene.options["transform"]
    turn = Affine.rotation(90 * turns, pivot=(transform.c, transform.f))
    turned = DrawnScene(scene.values, scene.valid, scene.options | {"transform": turn * transform})
    settings = {
        "tile": tiling[0],
        "stride": tiling[1],
        "products": ProductOptions(MAPS | {Product.GPKG}),
    }
    with TemporaryDirectory() as folder:
        one, other = (
            predict_scene(
                drawn.write(f"{folder}/{name}.tif"), Mixing(), f"{folder}/{name}", **settings
            )
            for name, drawn in (("one", scene), ("other", turned))
        )
        for product in MAPS:
            assert read(one.files[product]).tobytes() == read(other.files[product]).tobytes()
        assert one.pixels == other.pixels
        before, after = (
            geopandas.read_file(done.polygons, layer="classes") for done in (one, other)
        )
    same = ["class_id", "class", "confidence"]
    assert before[same].equals(after[same])
    a, b, c, d, e, f = turn[:6]
    # Corners differ by rounding of the coordinates alone, far below a pixel.
    rounding = 1e-6 * abs(transform.determinant) ** 0.5
    for found, outline in zip(after.geometry, before.geometry, strict=True):
        wanted = affine_transform(outline, [a, b, d, e, c, f])
        np.testing.assert_allclose(
            shapely.get_coordinates(found), shapely.get_coordinates(wanted), rtol=0, atol=rounding
        )
    tally.add(TURNED, f"{turns} turns")
