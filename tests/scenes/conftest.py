import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

UTM = {"crs": "EPSG:32631", "transform": from_origin(500_000, 4_800_000, 10, 10)}


@dataclass
class Constant:
    """Every tile is of the second class, with the same probabilities."""

    bands: tuple[str, ...] = ("VV",)
    classes: tuple[str, ...] = ("water", "forest", "urban")
    tile_size: int = 16
    concurrency: int = 1
    row: tuple[float, ...] = (0.1, 0.7, 0.2)
    seen: list[int] = field(default_factory=list)

    @property
    def tile_sizes(self):
        return range(1, 1000)

    @property
    def fingerprint(self):
        return f"{type(self).__name__} {self.bands} {self.classes} {self.row}"

    @property
    def fill(self):
        return np.full(len(self.bands), -3.0, dtype=np.float32)

    def convert(self, values):
        return values

    def probabilities(self, tiles):
        assert tiles.dtype == np.float32
        assert tiles.shape[1:] == (len(self.bands), self.tile_size, self.tile_size)
        assert np.isfinite(tiles).all()
        self.seen.append(len(tiles))
        return np.tile(np.float32(self.row), (len(tiles), 1))


class Softmax(Constant):
    """Probabilities that depend on every pixel and band of a tile."""

    def probabilities(self, tiles):
        super().probabilities(tiles)
        bands, size = tiles.shape[1:3]
        rng = np.random.default_rng(7)
        weights = rng.normal(size=(bands, size, size, len(self.classes)))
        logits = np.einsum("nbhw,bhwc->nc", tiles.astype(np.float64), weights) / size
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def constant():
    return Constant


@pytest.fixture
def softmax():
    return Softmax


@pytest.fixture
def write_scene(tmp_path):
    def write(values, name="scene.tif", *, mask=None, alpha=False, descriptions=(), **options):
        values = np.atleast_3d(values.T).T if values.ndim == 2 else values
        profile = {**UTM, **options}
        path = tmp_path / name
        bands, height, width = values.shape
        with rasterio.open(
            path, "w", driver="GTiff", count=bands, height=height, width=width,
            dtype=values.dtype, **({"alpha": "yes"} if alpha else {}), **profile,
        ) as dataset:  # fmt: skip
            dataset.write(values)
            for index, text in enumerate(descriptions, 1):
                dataset.set_band_description(index, text)
            if mask is not None:
                dataset.write_mask(mask)
        return path

    return write


@pytest.fixture
def noise():
    def make(height, width, bands=1, seed=0):
        return np.random.default_rng(seed).normal(size=(bands, height, width)).astype(np.float32)

    return make


@pytest.fixture
def real_scenes():
    folder = Path(os.environ.get("RSMETA_SHARED", "../shared")) / "data" / "scenes"
    if not folder.is_dir():
        pytest.skip(f"no real scenes at {folder}; set RSMETA_SHARED to the folder that has them")
    return folder
