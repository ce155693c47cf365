"""What a scene's map does not depend on, with a whole ViT: order of bands, blocks, who computes."""

from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from scene_strategies import LAYOUTS, PACKINGS, DrawnScene, packed, validities
from tiny_models import SENSORS, TinyModel
from trust_examples import examples

from rsmeta.scenes import Processes, ProductOptions, ThisProcess, predict_scene
from rsmeta.scenes.product_options import Product
from rsmeta.scenes.source import BandFiles, RasterSource

PERMUTED = "bands in another order give the same map"
BITS = "blocks, workers and batches leave every bit"
HERE = {"crs": "EPSG:32631", "transform": Affine(10, 0, 500_000, 0, -10, 4_800_000)}
MAPS = ProductOptions(frozenset({Product.CLASSES, Product.CONFIDENCE, Product.PROBABILITIES}))


@cache
def loaded(model):
    return model()


def bits(done):
    """The values of all maps, and the counts."""
    found = []
    for path in done.files.values():
        with rasterio.open(path) as dataset:
            found.append(dataset.read().tobytes())
    return found, done.pixels, done.tiles


@st.composite
def values_of(draw, bands, largest=70):
    """Pixels of a scene, NaN where not valid."""
    shape = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(size=(bands, *shape)).astype(np.float32)
    values[:, ~draw(validities(shape))] = np.nan
    return values


@st.composite
def permuted(draw):
    """A sensor, a scene of its bands, and another order of these."""
    sensor = draw(st.sampled_from(list(SENSORS)))
    count = SENSORS[sensor]
    return sensor, draw(values_of(count, 50)), draw(st.permutations(range(count)))


@examples(12)
@given(drawn=permuted(), files=st.sampled_from(["described", "named", "apart"]))
def test_bands_in_another_order_give_the_same_map(tiny_weights, tally, drawn, files):
    sensor, values, order = drawn
    model = loaded(TinyModel(tiny_weights["timm:test_vit"], sensor))
    names = tuple(model.bands[index] for index in order)
    with TemporaryDirectory() as folder:
        plain = scene(values, names=model.bands).write(f"{folder}/plain.tif")
        expected = bits(predict_scene(plain, model, f"{folder}/plain", products=MAPS))
        moved = scene(values[list(order)], names=names if files == "described" else ())
        if files == "described":
            source = RasterSource(moved.write(f"{folder}/moved.tif"))
        elif files == "named":
            source = RasterSource(moved.write(f"{folder}/moved.tif"), names)
        else:
            parts = [
                (name, scene(values[[index]]).write(f"{folder}/moved_{name}.tif"))
                for name, index in zip(names, order, strict=True)
            ]
            source = BandFiles(tuple(parts))
        assert bits(predict_scene(source, model, f"{folder}/moved", products=MAPS)) == expected
    tally.add(PERMUTED, f"{files}, {sensor}")


def scene(values, names=(), **options):
    """A scene whose pixels are valid where they are finite."""
    valid = np.isfinite(values).all(axis=0)
    return DrawnScene(values, valid, HERE | options, names=names)


@pytest.fixture(scope="module")
def workers(tiny_weights):
    """Two processes that compute as this one does."""
    with Processes(TinyModel(tiny_weights["timm:test_vit"]), 2) as engine:
        yield engine


@contextmanager
def computing_by(threads):
    """Let so many threads compute; workers of a machine share its threads out among them."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@examples(15)
@given(
    values=values_of(2),
    layout=st.sampled_from(LAYOUTS),
    packing=st.sampled_from(PACKINGS),
    interleave=st.sampled_from(["band", "pixel"]),
    batch_size=st.sampled_from([1, 2, 3, 7, 31, 64]),
    threads=st.sampled_from([1, 2, None]),
    stride=st.sampled_from([16, 8, 5]),
    augmentation=st.sampled_from(["none", "none", "d4"]),
)
def test_blocks_workers_and_batches_leave_every_bit(
    tiny_weights, tally, workers, values, layout, packing, interleave, batch_size, threads, stride,
    augmentation,
):  # fmt: skip
    model = loaded(TinyModel(tiny_weights["timm:test_vit"]))
    settings = {"stride": stride, "augmentation": augmentation, "products": MAPS}
    options = packed(layout | packing, values.dtype) | {"interleave": interleave}
    with TemporaryDirectory() as folder:
        plain = scene(values).write(f"{folder}/plain.tif")
        expected = bits(predict_scene(plain, model, f"{folder}/plain", **settings))
        other = scene(values, **options).write(f"{folder}/other.tif")
        engine = workers if threads is None else ThisProcess(model)
        with computing_by(threads or torch.get_num_threads()):
            done = predict_scene(
                other, model, f"{folder}/other", engine=engine, batch_size=batch_size, **settings
            )
        assert bits(done) == expected
    tally.add(BITS, "two workers" if threads is None else f"threads: {threads}")
