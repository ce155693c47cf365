"""Rasters on one pixel grid: where grids coincide, and reading one raster on another's grid."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self
from xml.etree import ElementTree

import rasterio
import rasterio.shutil
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT

from rsmeta.errors import SceneError
from rsmeta.scenes.products import Georeference

_PIXELS = CRS.from_wkt('LOCAL_CS["pixels",UNIT["pixel",1]]')
_SAME = 1e-3


@dataclass(frozen=True)
class Grid:
    """The pixels of a raster.

    Attributes:
        shape: Rows and columns.
        georeference: Where they lie.
    """

    shape: tuple[int, int]
    georeference: Georeference

    @classmethod
    def of(cls, dataset: DatasetReader) -> Self:
        """Grid of an open raster."""
        return cls(dataset.shape, Georeference.of(dataset))

    def resampled(self, x: float, y: float) -> "Grid":
        """The same footprint with pixels about `x` times as wide and `y` times as high.

        Whole pixels fill the footprint, so their size is the asked one up to half a pixel in all.
        """
        height, width = self.shape
        shape = max(1, round(height / y)), max(1, round(width / x))
        place = self.georeference.scaled(width / shape[1], height / shape[0])
        return Grid(shape, place)

    def frame(self, other: "Grid") -> Affine:
        """Maps column and row of another grid to column and row of this one.

        Without transforms, by GCPs, RPCs or nothing, grids are taken to have one footprint.
        """
        if self.georeference.has_transform and other.georeference.has_transform:
            return ~self.georeference.transform * other.georeference.transform
        return Affine.scale(self.shape[1] / other.shape[1], self.shape[0] / other.shape[0])

    def distance(self, other: "Grid") -> float:
        """Largest distance between corners of the same name, along an axis, in pixels of this."""
        (height, width), (rows, columns) = self.shape, other.shape
        frame = self.frame(other)
        gaps = []
        for right in (0, 1):
            for low in (0, 1):
                x, y = right * columns, low * rows
                gaps.append(abs(frame.a * x + frame.b * y + frame.c - right * width))
                gaps.append(abs(frame.d * x + frame.e * y + frame.f - low * height))
        return float(max(gaps))

    def coincides(self, other: "Grid") -> bool:
        """Whether the pixels are the same ones."""
        return self.shape == other.shape and self.distance(other) < _SAME


@contextmanager
def on_grid(dataset: DatasetReader, grid: Grid) -> Iterator[DatasetReader]:
    """Read a raster on a grid of about the same footprint, see `check_place`.

    Args:
        dataset: The open raster.
        grid: The grid.

    Yields:
        The raster itself where its grid is this one; else one that resamples, by the mean of the
        valid pixels to larger pixels, and bilinearly to smaller ones.
    """
    own = Grid.of(dataset)
    if grid.coincides(own):
        yield dataset
        return
    frame = grid.frame(own)
    coarser = abs(frame.determinant) < 1
    with (
        rasterio.open(_placed_by_pixels(dataset, frame)) as source,
        WarpedVRT(
            source, crs=_PIXELS, transform=Affine.identity(), height=grid.shape[0],
            width=grid.shape[1], dtype="float64" if "float64" in dataset.dtypes else "float32",
            resampling=Resampling.average if coarser else Resampling.bilinear,
            tolerance=1e-6, add_alpha=_needs_alpha(dataset), UNIFIED_SRC_NODATA="NO",
        ) as warped,
    ):  # fmt: skip
        yield warped


def check_place(own: Grid, path: str, grid: Grid) -> None:
    """Refuse a raster that does not cover the ground of the finest one of its scene.

    Args:
        own: The raster's grid.
        path: Where it is, for messages.
        grid: Grid of the finest raster.

    Raises:
        SceneError: The CRS differs, the footprints by more than a pixel of either, or, on rasters
            of one shape, GCPs or RPCs do.
    """
    places = own.georeference, grid.georeference
    if places[0].crs != places[1].crs or places[0].has_transform != places[1].has_transform:
        raise SceneError(
            f"raster '{path}' lies in {_named(places[0])}, another band of its scene in "
            f"{_named(places[1])}; allowed is one CRS a scene: warp one of them with gdalwarp"
        )
    if own.shape == grid.shape and _ties(places[0]) != _ties(places[1]):
        raise SceneError(
            f"raster '{path}' has other GCPs or RPCs than the other bands of its scene; give bands "
            "of one product"
        )
    # A pixel of the coarser of the two, in pixels of the grid.
    frame = grid.frame(own)
    pixel = max(1.0, abs(frame.a) + abs(frame.b), abs(frame.d) + abs(frame.e))
    distance = grid.distance(own)
    if distance > pixel:
        raise SceneError(
            f"raster '{path}' covers another place than the other bands of its scene: corners are "
            f"{distance:.1f} pixels apart, allowed is {pixel:.1f}; cut both to one extent"
        )


def _ties(place: Georeference) -> tuple[object, ...]:
    """What ties a raster without a transform to the ground; nothing where there is one."""
    if place.has_transform:
        return ()
    points = tuple((point.row, point.col, point.x, point.y) for point in place.gcps)
    return points, place.gcp_crs, None if place.rpcs is None else place.rpcs.to_dict()


def _named(place: Georeference) -> str:
    crs = "no CRS" if place.crs is None else place.crs.to_string()[:60]
    return crs if place.has_transform else f"{crs} without a transform"


def _needs_alpha(dataset: DatasetReader) -> bool:
    """Whether only a new alpha band can tell which resampled pixels are valid."""
    no_value = all(nodata is None for nodata in dataset.nodatavals)
    return no_value and ColorInterp.alpha not in dataset.colorinterp


def _placed_by_pixels(dataset: DatasetReader, frame: Affine) -> str:
    """A VRT of a raster whose coordinates are pixels of another grid, as XML.

    GDAL then resamples rasters with any georeferencing, or none, without warping them.
    """
    with MemoryFile(ext=".vrt") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        rasterio.shutil.copy(dataset, file.name, driver="VRT")
        with rasterio.open(file.name) as copied:
            root = ElementTree.fromstring(copied.tags(ns="xml:VRT")["xml:VRT"])
    for place in ("SRS", "GeoTransform", "GCPList", "Metadata"):
        for element in root.findall(place):
            root.remove(element)
    ElementTree.SubElement(root, "SRS").text = _PIXELS.to_wkt()
    ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, frame.to_gdal()))
    return ElementTree.tostring(root, encoding="unicode")
