"""Raster input shared by chips and scenes: opening, band lists, masked reads in physical units."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.env
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsmeta.errors import RsmetaError, SceneError
from rsmeta.memory import require_memory
from rsmeta.prediction_options import ComplexPart
from rsmeta.raster_names import check_name, is_gdal_name, name_for_gdal

RASTER_ERRORS = (RasterioError, CPLE_BaseError, CRSError, UnicodeDecodeError)
"""What rasterio raises when GDAL fails: its own errors, GDAL's where it lets them through, and
Python's where a damaged file makes GDAL say what is no text."""

_MOST_NAMES = 8
_MOST_BANDS = 4096
_FLOAT_BYTES = 4
_NO_CODE = {"GDAL_VRT_ENABLE_PYTHON": "NO"}
_WEB = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
}
"""Seconds to connect and for a request, how often it is made again, and seconds before that."""


def reason(error: BaseException) -> str:
    """The innermost cause of an error as one line; GDAL hides it behind "Read failed"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def reading_options() -> dict[str, str]:
    """Options of GDAL for reading; those of the web only where nobody has set them."""
    chosen = rasterio.env.getenv() if rasterio.env.hasenv() else {}
    own = {k: v for k, v in _WEB.items() if k not in os.environ and k not in chosen}
    return _NO_CODE | own


@contextmanager
def open_raster(
    path: str | PathLike[str],
    error: type[RsmetaError] = SceneError,
    complex_part: ComplexPart | None = None,
) -> Iterator[DatasetReader]:
    """Open a raster for reading; every failure to open or read it becomes one line.

    Args:
        path: A file, or another name of a raster, see `rsmeta.raster_names`.
        error: Class of the error raised: `SceneError` for scenes, `DataError` for chips.
        complex_part: What complex values will be read as; None refuses them.

    Yields:
        The open dataset. rasterio's errors inside the `with` block count as failures to read it.

    Raises:
        RsmetaError: As `error`: the file is missing, is no raster, has no or complex bands or
            subdatasets, breaks off in the middle, or does not fit into memory.
    """
    name = str(path)
    opened = name_for_gdal(name, error)
    if Path(opened).is_file() and Path(opened).stat().st_size == 0:
        raise error(f"raster '{name}' is empty (0 bytes); copy or download it again")
    with (
        rasterio.Env(**reading_options()),
        _opened(opened, name, error) as dataset,
        reading(name, error),
    ):
        _refuse_unreadable(dataset, error, complex_part)
        _require_blocks_fit(dataset)
        yield dataset


def _opened(path: str, name: str, error: type[RsmetaError]) -> DatasetReader:
    try:
        with warnings.catch_warnings():
            # Rasters without georeferencing are welcome; callers look at crs and transform.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path)
    except RASTER_ERRORS as cause:
        raise error(
            f"raster '{name}' cannot be opened: {reason(cause)}; give a complete GeoTIFF or "
            "another raster that GDAL reads"
        ) from cause


@contextmanager
def reading(name: str, error: type[RsmetaError] = SceneError) -> Iterator[None]:
    """Turn a failure to read an open raster into one line.

    Raises:
        RsmetaError: As `error`: rasterio or GDAL failed, or there is not enough memory.
    """
    try:
        yield
    except RASTER_ERRORS as cause:
        raise error(
            f"raster '{name}' cannot be read to the end: {reason(cause)}; "
            "the file is damaged or truncated: copy or download it again"
        ) from cause
    except MemoryError as cause:
        raise error(f"raster '{name}' does not fit into memory: {reason(cause)}") from cause


def sample_bytes(dataset: DatasetReader) -> list[int]:
    """Bytes of a pixel in each band as it is read; complex integers are read as complex64."""
    return [
        np.dtype("complex64" if kind == "complex_int16" else kind).itemsize
        for kind in dataset.dtypes
    ]


def _require_whole_fits(dataset: DatasetReader) -> None:
    """Refuse a raster that is to be read at once and is larger than the free memory.

    Raises:
        MemoryError: It is.
    """
    height, width = dataset.shape
    require_memory(
        height * width * sum(size + _FLOAT_BYTES for size in sample_bytes(dataset)),
        f"all of its {height} x {width} pixels in {dataset.count} band(s)",
        "give smaller rasters",
    )


def _require_blocks_fit(dataset: DatasetReader) -> None:
    """Refuse blocks that cannot be decoded: of however little is read of one, it is decoded whole.

    Raises:
        MemoryError: A block and its copy in GDAL's cache take more memory than is free.
    """
    height, width = dataset.block_shapes[0]
    sizes = sample_bytes(dataset)
    by_pixel = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL"
    require_memory(
        2 * height * width * (sum(sizes) if by_pixel else sizes[0]),
        f"a block of {height} x {width} pixels, of {dataset.height} x {dataset.width} in all,",
        "cut it into tiles with gdal_translate -co TILED=YES",
    )


def _refuse_unreadable(
    dataset: DatasetReader, error: type[RsmetaError], complex_part: ComplexPart | None
) -> None:
    parts = dataset.subdatasets
    # What GDAL shows of a SAFE product is itself a scene; elsewhere it is the first part alone.
    if dataset.count == 0 or (parts and dataset.driver != "SAFE"):
        more = f" and {len(parts) - _MOST_NAMES} more" if len(parts) > _MOST_NAMES else ""
        raise error(
            f"raster '{dataset.name}' is a container; name one of its subdatasets instead: "
            f"{', '.join(parts[:_MOST_NAMES]) or 'none'}{more}"
        )
    if dataset.count > _MOST_BANDS:
        raise error(
            f"raster '{dataset.name}' has {dataset.count} bands; allowed are {_MOST_BANDS}: choose "
            "some with gdal_translate -b"
        )
    for file in dataset.files if dataset.driver == "VRT" else ():
        if is_gdal_name(file):
            check_name(file, error)
    kinds = sorted({dtype for dtype in dataset.dtypes if "complex" in dtype})
    if kinds and complex_part is None:
        raise error(
            f"raster '{dataset.name}' has complex bands ({', '.join(kinds)}); allowed are real "
            "values: predict it with --complex amplitude or power, or convert it first"
        )


def refuse_palette(dataset: DatasetReader, error: type[RsmetaError] = SceneError) -> None:
    """Refuse rasters whose values are numbers of colours, not measurements.

    Raises:
        RsmetaError: As `error`: a band has a colour palette.
    """
    if ColorInterp.palette in dataset.colorinterp:
        raise error(
            f"raster '{dataset.name}' has a colour palette, so its values are numbers of colours; "
            "allowed are measured values: expand it with gdal_translate -expand rgb"
        )


def data_indexes(dataset: DatasetReader) -> tuple[int, ...]:
    """Indexes (from 1) of the bands that carry data: all but alpha bands, which are masks."""
    return tuple(
        index
        for index, kind in zip(dataset.indexes, dataset.colorinterp, strict=True)
        if kind is not ColorInterp.alpha
    )


def read_masked(
    dataset: DatasetReader,
    window: Window | None = None,
    indexes: Sequence[int] | None = None,
    complex_part: ComplexPart = "amplitude",
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read bands in physical units, with the pixels that count.

    A pixel is valid where every selected band is: not nodata (of that band, NaN included), not
    masked (internal mask, `.msk` sidecar, alpha), and finite. GDAL's own mask heeds only one of
    these at a time, so they are combined here. Declared scale and offset are applied, to chips
    and scenes alike; of complex values, to the amplitude or power.

    Args:
        dataset: An open raster.
        window: Part to read, in pixels, inside the raster; None for all of it.
        indexes: Bands to read, from 1; None for all data bands.
        complex_part: What complex values are read as; real ones stay as they are.

    Returns:
        Values, float32 (bands, height, width), NaN where not valid, and valid, bool
        (height, width).

    Raises:
        MemoryError: A whole raster does not fit into the free memory.
    """
    if window is None:
        _require_whole_fits(dataset)
    chosen = data_indexes(dataset) if indexes is None else tuple(indexes)
    raw = dataset.read(list(chosen), window=window)
    valid = _mask(dataset, window, chosen)
    values = np.empty(raw.shape, dtype=np.float32)
    # Each asks GDAL about all bands.
    nodatas, scales, offsets = dataset.nodatavals, dataset.scales, dataset.offsets
    for band, index, out in zip(raw, chosen, values, strict=True):
        nodata = nodatas[index - 1]
        if nodata is not None and _representable(nodata, band.dtype):
            valid &= band != band.dtype.type(nodata)
        if np.iscomplexobj(band):
            band = np.abs(band) if complex_part == "amplitude" else np.abs(band) ** 2
        scale, offset = scales[index - 1], offsets[index - 1]
        # A float64 beyond the float32 range becomes inf, and with that not valid.
        with np.errstate(over="ignore", invalid="ignore"):
            out[:] = band if (scale, offset) == (1.0, 0.0) else band * scale + offset
        valid &= np.isfinite(out)
    if not valid.all():
        values[:, ~valid] = np.nan
    return values, valid


def _mask(
    dataset: DatasetReader, window: Window | None, indexes: Sequence[int]
) -> NDArray[np.bool_]:
    """Valid pixels according to mask bands, alpha bands and GDAL's reading of nodata."""
    flags, data = dataset.mask_flag_enums, frozenset(data_indexes(dataset))
    masked = [
        index
        for index in indexes
        if not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags[index - 1])
    ]
    alpha = [index for index in dataset.indexes if index not in data]
    layers: list[NDArray[Any]] = []
    if masked:
        layers.append(dataset.read_masks(masked, window=window))
    if alpha:
        # Read as a band: GDAL scales the mask of a 16-bit alpha band down to 8 bits.
        layers.append(dataset.read(alpha, window=window))
    if not layers:
        height, width = dataset.shape if window is None else (window.height, window.width)
        return np.ones((int(height), int(width)), dtype=np.bool_)
    valid: NDArray[np.bool_] = np.logical_and.reduce([(layer > 0).all(axis=0) for layer in layers])
    return valid


def _representable(nodata: float, dtype: np.dtype[Any]) -> bool:
    """Whether a pixel of this type can equal the nodata value; uint8 cannot be -9999."""
    if np.isnan(nodata):
        return False  # NaN pixels are caught as not finite
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return float(nodata).is_integer() and limits.min <= nodata <= limits.max
    return True
