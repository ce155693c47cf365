"""Rasters out: georeferencing carried over, row-wise writing, Cloud Optimized GeoTIFFs."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from xml.etree import ElementTree

import rasterio
import rasterio.shutil
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.rpc import RPC

from rsmeta.errors import SceneError
from rsmeta.rasters import RASTER_ERRORS, reason
from rsmeta.scenes.legend import Legend


@dataclass(frozen=True)
class Georeference:
    """Where a raster lies: by affine transform, ground control points or RPCs, as it has it.

    Attributes:
        crs: Coordinate reference system of the transform; None where unknown.
        transform: Pixel to CRS; the identity where the raster has none.
        gcps: Ground control points; empty where there are none, or a transform, which is exact.
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
        """Georeferencing of an open raster; of one with a transform, without its GCPs."""
        gcps, gcp_crs = dataset.gcps if dataset.transform.is_identity else ([], None)
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
        if self.gcps:
            dataset.gcps = (list(self.gcps), self.gcp_crs or CRS())
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
        SceneError: rasterio, pyogrio or the file system refused.
    """
    try:
        yield
    except (*RASTER_ERRORS, DataSourceError, DataLayerError, OSError) as cause:
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


def class_map_to_cog(
    source: Path, target: Path, legend: Legend, georeference: Georeference
) -> None:
    """Turn a class map into a Cloud Optimized GeoTIFF with the legend, and remove the GeoTIFF.

    The colour table is inside. GeoTIFF has no field for the names: GDAL writes them as category
    names, which GIS legends show, to `<target>.aux.xml`.
    """
    described = source.with_suffix(".vrt")
    with writing(target), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        rasterio.shutil.copy(source, described, driver="VRT")
        tree = ElementTree.parse(described)
        _keep_digits(tree, georeference)
        band = tree.getroot().find("VRTRasterBand")
        assert band is not None
        _describe(band, legend)
        tree.write(described, encoding="utf-8")
    to_cog(described, target, resampling="mode")
    source.unlink()


def _describe(band: ElementTree.Element, legend: Legend) -> None:
    """Add colours and names to a band of a VRT, whose schema asks for the order of elements."""
    interpretation = band.find("ColorInterp")
    assert interpretation is not None
    interpretation.text = "Palette"
    place = list(band).index(interpretation) + 1
    table = ElementTree.Element("ColorTable")
    colours = [(*colour, 255) for colour in legend.colours]
    colours += [(0, 0, 0, 0)] * (legend.no_class + 1 - len(colours))
    for colour in colours:
        parts = {f"c{i}": str(part) for i, part in enumerate(colour, 1)}
        ElementTree.SubElement(table, "Entry", parts)
    names = ElementTree.Element("CategoryNames")
    for name in legend.names:
        ElementTree.SubElement(names, "Category").text = name
    band.insert(place, table)
    band.insert(place + 1, names)


def _keep_digits(tree: "ElementTree.ElementTree[ElementTree.Element]", place: Georeference) -> None:
    """Write ground control points in full: GDAL rounds their pixels to four digits in a VRT."""
    for element, point in zip(tree.getroot().iter("GCP"), place.gcps, strict=True):
        values = {"Pixel": point.col, "Line": point.row, "X": point.x, "Y": point.y}
        for name, value in values.items():
            element.set(name, repr(float(value)))


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
