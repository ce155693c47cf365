"""Small scenes drawn over what GeoTIFFs can be: georeferencing, types, masks and block layouts."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning

PLACES = {
    "EPSG:32631": (500_000.0, 4_800_000.0, 10.0),
    "EPSG:32733": (300_000.0, 6_200_000.0, 10.0),
    "EPSG:4326": (2.5, 48.5, 1e-4),
    "EPSG:3857": (280_000.0, 6_200_000.0, 15.0),
    "EPSG:3031": (-900_000.0, 1_200_000.0, 40.0),
    "EPSG:2056": (2_600_000.0, 1_200_000.0, 2.0),
    None: (1_000.0, 2_000.0, 1.0),
}
"""A place in each of some systems, and the usual side of a pixel there, in units of the system."""

FLOATS = ("float32", "float64")
INTEGERS = {
    "uint8": (255, 2),
    "int8": (-128, 127, -1),
    "uint16": (65_535, 2),
    "int16": (-32_768, -1),
    "uint32": (2**32 - 1, 2),
    "int32": (-(2**31), 2**31 - 1, -9999),
    "uint64": (2, 2**40),
    "int64": (-9999, 2**40),
}
"""Nodata values of each type."""

LAYOUTS: tuple[dict[str, Any], ...] = (
    {},
    {"blockysize": 1},
    {"blockysize": 7},
    {"blockysize": 4096},
    {"tiled": True, "blockxsize": 16, "blockysize": 16},
    {"tiled": True, "blockxsize": 64, "blockysize": 16},
    {"tiled": True, "blockxsize": 256, "blockysize": 512},
)
PACKINGS: tuple[dict[str, Any], ...] = (
    {},
    {"compress": "deflate"},
    {"compress": "lzw", "predictor": 2},
    {"compress": "packbits"},
)


def packed(options, dtype):
    """Creation options that suit a type: floats have a predictor of their own."""
    if np.dtype(dtype).kind == "f" and "predictor" in options:
        return options | {"predictor": 3}
    return options


@dataclass(frozen=True)
class DrawnScene:
    """A scene that can be written.

    Attributes:
        values: (bands, height, width), in the type of the file.
        valid: Which pixels count in all bands, (height, width).
        options: Layout, nodata, CRS and transform.
        mask: How `valid` is written beside the values: `none`, as a `mask` band or as `alpha`.
        names: Descriptions of the bands.
    """

    values: np.ndarray
    valid: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)
    mask: str = "none"
    names: tuple[str, ...] = ()

    def write(self, path):
        """Write it as a GeoTIFF; returns the path."""
        values, options = self.values, dict(self.options)
        if self.mask == "alpha":
            opaque = np.where(self.valid, 127, 0).astype(values.dtype)
            values, options = np.concatenate([values, opaque[None]]), options | {"alpha": "yes"}
        bands, height, width = values.shape
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", driver="GTiff", count=bands, height=height, width=width,
                dtype=values.dtype, **options,
            ) as dataset:  # fmt: skip
                dataset.write(values)
                for index, name in enumerate(self.names, 1):
                    dataset.set_band_description(index, name)
                if self.mask == "mask":
                    dataset.write_mask(self.valid)
        return path


@st.composite
def transforms(draw, x, y, size):
    """An affine transform near a place: rotated, sheared, south-up, anisotropic or far off."""
    offset = st.floats(-3000, 3000)
    size *= draw(st.sampled_from([*[1] * 9, 1e5]))
    sides = [size * draw(st.floats(0.1, 10)) * draw(st.sampled_from([1, -1])) for _ in range(2)]
    turn = draw(st.sampled_from([0.0, 0.0, 90.0, 180.0, -90.0, 36.86989764584402, 200.5]))
    shear = draw(st.sampled_from([0.0, 0.0, 0.0, 17.0]))
    corner = Affine.translation(x + size * draw(offset), y + size * draw(offset))
    return corner * Affine.rotation(turn) * Affine.shear(shear) * Affine.scale(*sides)


@st.composite
def places(draw, transform):
    """A CRS or none, and a transform.

    Args:
        draw: Of hypothesis.
        transform: Strategy of the transform, for a place and the side of a pixel.
    """
    crs = draw(st.sampled_from(list(PLACES)))
    return {"crs": crs, "transform": draw(transform(*PLACES[crs]))}


ANYWHERE = st.one_of(
    places(transforms),
    places(transforms),
    places(transforms),
    st.sampled_from(list(PLACES)).map(lambda crs: {"crs": crs}),
)


@st.composite
def validities(draw, shape):
    """Which pixels are valid: all, all but a rectangle, some at random, one or none."""
    kind = draw(st.sampled_from(["all", "all but a rectangle", "some", "one", "none"]))
    valid = np.full(shape, kind.startswith("all"))
    if kind == "one":
        valid[tuple(draw(st.integers(0, length - 1)) for length in shape)] = True
    elif kind == "some":
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        valid = rng.uniform(size=shape) < draw(st.floats(0, 1))
    elif kind == "all but a rectangle":
        ends = [sorted(draw(st.integers(0, n)) for _ in range(2)) for n in shape]
        valid[slice(*ends[0]), slice(*ends[1])] = False
    return valid


@st.composite
def scenes(draw, largest=50):
    """A scene of one band, whose valid pixels are 0 or 1, or in floats anything between.

    Others are invalid in one of the ways that GeoTIFFs have.
    """
    shape = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    valid = draw(validities(shape))
    dtype = np.dtype(draw(st.sampled_from([*INTEGERS, *FLOATS])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.uniform(size=shape) if dtype.kind == "f" else rng.integers(0, 2, size=shape)
    values = values.astype(dtype)
    marks = INTEGERS.get(dtype.name, (np.nan, np.inf, -9999.0, 1.1, -3.4028234663852886e38))
    way = draw(st.sampled_from(["nodata", "mask", "alpha", "nan"]))
    options = draw(ANYWHERE) | draw(st.sampled_from(LAYOUTS)) | draw(st.sampled_from(PACKINGS))
    if way == "nan" and dtype.kind == "f":
        values[~valid] = np.nan
    elif way in ("nodata", "nan"):
        options["nodata"] = draw(st.sampled_from(marks))
        values[~valid] = options["nodata"]
    mask = way if way in ("mask", "alpha") else "none"
    return DrawnScene(values[None], valid, packed(options, dtype), mask)
