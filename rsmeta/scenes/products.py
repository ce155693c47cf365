"""Rasters out: georeferencing carried over, row-wise writing, Cloud Optimized GeoTIFFs."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.rpc import RPC
from rasterio.windows import Window

from rsmeta.errors import SceneError
from rsmeta.rasters import RASTER_ERRORS, reason
from rsmeta.scenes.blend import NO_CLASS
from rsmeta.scenes.palette import class_colours

_BLOCK = 256
_STRIP = 8 * _BLOCK


class Rows(Protocol):
    """Rows of a raster of which any part can be had."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def part(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Values of some rows and columns."""
        ...


@dataclass(frozen=True)
class ArrayRows:
    """Rows that lie in memory.

    Attributes:
        values: (rows, columns).
    """

    values: NDArray[Any]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.values)

    def part(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Values of some rows and columns."""
        return self.values[rows, columns]


@dataclass(frozen=True)
class Georeference:
    """Where a raster lies: by affine transform, ground control points or RPCs, as it has it.

    Attributes:
        crs: Coordinate reference system of the transform; None where unknown.
        transform: Pixel to CRS; the identity where the raster has none.
        gcps: Ground control points; empty where there are none.
        gcp_crs: Coordinate reference system of the ground control points.
        rpcs: Rational polynomial coefficients; None where there are none.
    """

    crs: CRS | None
    transform: Affine
    gcps: tuple[GroundControlPoint, ...] = ()
    gcp_crs: CRS | None = None
    rpcs: RPC | None = None

    @classmethod
    def of(cls, dataset: DatasetReader) -> Self:
        """Georeferencing of an open raster."""
        gcps, gcp_crs = dataset.gcps
        return cls(dataset.crs, dataset.transform, tuple(gcps), gcp_crs, dataset.rpcs)

    @property
    def is_mapped(self) -> bool:
        """Whether the transform leads to coordinates of a known CRS."""
        return self.crs is not None and not self.transform.is_identity

    @property
    def has_transform(self) -> bool:
        """Whether there is a transform; the identity stands for none."""
        return not self.transform.is_identity

    def coarser(self, factor: int) -> "Georeference":
        """The same place at pixels `factor` times as large."""
        return self.scaled(factor, factor)

    def scaled(self, x: float, y: float) -> "Georeference":
        """The same place at pixels `x` times as wide and `y` times as high."""
        t = self.transform
        scaled = Affine(t.a * x, t.b * y, t.c, t.d * x, t.e * y, t.f)
        gcps = tuple(
            GroundControlPoint(g.row / y, g.col / x, g.x, g.y, g.z, g.id, g.info) for g in self.gcps
        )
        transform = scaled if self.has_transform else t
        return Georeference(self.crs, transform, gcps, self.gcp_crs, _scaled(self.rpcs, x, y))

    def write(self, dataset: DatasetWriter) -> None:
        """Set it on a raster that is being written."""
        if not self.transform.is_identity:
            dataset.transform = self.transform
        if self.crs is not None:
            dataset.crs = self.crs
        if self.gcps and self.transform.is_identity:
            dataset.gcps = (list(self.gcps), self.gcp_crs)
        if self.rpcs is not None:
            dataset.rpcs = self.rpcs


def _scaled(rpcs: RPC | None, x: float, y: float) -> RPC | None:
    if rpcs is None:
        return None
    changed = rpcs.to_dict()
    for axis, factor in (("line", y), ("samp", x)):
        # RPCs count from the centre of the first pixel.
        changed[f"{axis}_off"] = (changed[f"{axis}_off"] + 0.5) / factor - 0.5
        changed[f"{axis}_scale"] = changed[f"{axis}_scale"] / factor
    return RPC(**changed)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write a product into one line.

    Raises:
        SceneError: rasterio or the file system refused.
    """
    try:
        yield
    except (*RASTER_ERRORS, OSError) as cause:
        raise SceneError(
            f"cannot write '{path}': {reason(cause)}; check permissions and free disk space"
        ) from cause


def publish(stage: Path, out_dir: Path, last: str) -> None:
    """Move all complete files of a stage to their folder, in place of older ones.

    Args:
        stage: Folder of the new files.
        out_dir: Where to move them.
        last: Name of the one that is moved last: when it is there, all are.
    """
    files = sorted(stage.iterdir(), key=lambda file: (file.name == last, file.name))
    new = {file.name for file in files}
    for file in files:
        with writing(out_dir / file.name):
            sidecar = f"{file.name}.aux.xml"
            if sidecar not in new:
                # Statistics that a viewer has stored beside an older product are not true now.
                (out_dir / sidecar).unlink(missing_ok=True)
            file.replace(out_dir / file.name)


class RowWriter:
    """Writes a one-band tiled GeoTIFF from rows of any number, whole blocks at a time.

    A compressed block that is written twice stays in the file twice, so rows wait here until
    they fill blocks.

    Args:
        path: File to write.
        shape: Rows and columns.
        dtype: `uint8` or `float32`.
        nodata: Value of pixels without data.
        georeference: Where the raster lies.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        dtype: str,
        nodata: float,
        georeference: Georeference,
    ) -> None:
        self.path = path
        self._waiting: list[Rows] = []
        self._start = 0  # rows of the first that are written
        self._top = 0
        with writing(path), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self.dataset = rasterio.open(
                path, "w", driver="GTiff", height=shape[0], width=shape[1], count=1, dtype=dtype,
                nodata=nodata, tiled=True, blockxsize=_BLOCK, blockysize=_BLOCK,
                compress="deflate", zlevel=1, bigtiff="IF_SAFER",
            )  # fmt: skip
            georeference.write(self.dataset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writing(self.path):
            if kind is None:
                self._flush(self._count())
            self.dataset.close()

    def append(self, rows: Rows) -> None:
        """Add rows below those already there, any number."""
        self._waiting.append(rows)
        count = self._count()
        if count >= _BLOCK:
            with writing(self.path):
                self._flush(count - count % _BLOCK)

    def _count(self) -> int:
        return sum(len(rows) for rows in self._waiting) - self._start

    def _flush(self, count: int) -> None:
        """Write so many of the rows that wait; parts of the width at a time to save memory."""
        taken: list[tuple[Rows, slice]] = []
        left = count
        while left:
            rows, start = self._waiting[0], self._start
            stop = min(start + left, len(rows))
            taken.append((rows, slice(start, stop)))
            left -= stop - start
            self._start = stop
            if stop == len(rows):
                self._waiting.pop(0)
                self._start = 0
        width = self.dataset.width
        for x in range(0, width if count else 0, _STRIP):
            columns = slice(x, min(x + _STRIP, width))
            values = np.concatenate([rows.part(part, columns) for rows, part in taken])
            window = Window(x, self._top, columns.stop - x, count)
            self.dataset.write(values, 1, window=window)
        self._top += count


def describe_classes(dataset: DatasetWriter, classes: Sequence[str]) -> None:
    """Put class names (tag `CLASS_NAMES`, JSON) and colours on a class map being written."""
    colours = {i: (*rgb, 255) for i, rgb in enumerate(class_colours(len(classes)))}
    dataset.write_colormap(1, colours | {NO_CLASS: (0, 0, 0, 0)})
    dataset.update_tags(CLASS_NAMES=json.dumps(list(classes), ensure_ascii=False))
    dataset.set_band_description(1, "class")


def write_category_names(raster: Path, classes: Sequence[str]) -> None:
    """Write class names as GDAL category names, which GIS legends show, beside a raster.

    GeoTIFF has no field for them; GDAL keeps them in `<file>.aux.xml`.
    """
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    for name in classes:
        ElementTree.SubElement(names, "Category").text = name
    target = raster.with_name(f"{raster.name}.aux.xml")
    with writing(target):
        ElementTree.ElementTree(root).write(target, encoding="utf-8")


def to_cog(source: Path, target: Path, *, resampling: str, **options: str) -> None:
    """Turn a GeoTIFF into a Cloud Optimized GeoTIFF with overviews and remove the GeoTIFF.

    Args:
        source: The GeoTIFF, removed when done.
        target: The file to write.
        resampling: How overviews summarise pixels: `mode` or `average`.
        **options: Further creation options of GDAL's COG driver.
    """
    with writing(target), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        rasterio.shutil.copy(
            source, target, driver="COG", compress="DEFLATE", blocksize=512,
            bigtiff="IF_SAFER", overview_resampling=resampling, **options,
        )  # fmt: skip
        source.unlink()
