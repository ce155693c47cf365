"""Names of rasters: which are paths, and which other names GDAL is given at all.

GDAL opens much more than files: raw memory, databases, the standard input, any local file as raw
pixels, and by its FTP and `file:` clients what a web server says. Scenes come from foreign lists,
STAC items and VRTs, so that only the names a person means are passed on.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from rsmeta.errors import RsmetaError, SceneError

SCHEMES = ("http", "https", "s3", "gs", "az", "oss", "zip", "tar", "gzip", "file")
"""What may stand before `://`, also joined: `zip+https://host/a.zip!b.tif`."""

FILE_SYSTEMS = (
    *("curl", "s3", "gs", "az", "adls", "oss", "swift", "hdfs", "webhdfs"),
    *("zip", "tar", "gzip", "7z", "rar", "mem"),
)
"""Virtual file systems of GDAL, `/vsicurl/...`."""

SUBDATASETS = (
    *("NETCDF", "HDF5", "HDF4_SDS", "HDF4_EOS", "BAG", "ZARR", "GPKG", "GTIFF_DIR", "NITF_IM"),
    *("SENTINEL1_CALIB", "SENTINEL2_L1B", "SENTINEL2_L1C", "SENTINEL2_L1C_TILE", "SENTINEL2_L2A"),
    *("RADARSAT_2_CALIB", "RCM_CALIB"),
)
"""Formats whose files hold several rasters, each named `FORMAT:"file":raster`."""

_WEB = ("http", "https")
_PREFIX = re.compile(r"([A-Za-z]\w+(?:\+\w+)*):")
_VRT_HEAD = 4096


def is_gdal_name(name: str) -> bool:
    """Whether a name is not a path but a URL, a virtual file or a dataset of a GDAL driver.

    `https://...`, `/vsizip/...` and `NETCDF:"file.nc":variable` are; `C:/scene.tif` is not.
    """
    return name.startswith("/vsi") or _PREFIX.match(name) is not None


def name_for_gdal(name: str, error: type[RsmetaError] = SceneError) -> str:
    """The name by which GDAL shall open a raster.

    A file that is there goes before all else, also where its name looks like another: `a:b.tif` in
    this folder is opened as `./a:b.tif`. Of a VRT, the files that it is made of are checked, too.

    Args:
        name: A path, or another name of a raster.
        error: Class of the error raised.

    Raises:
        RsmetaError: As `error`: there is no such file, or the name is of a kind that is not opened.
    """
    if exists(Path(name)):
        _check_vrt(Path(name), error)
        return f"./{name}" if _PREFIX.match(name) else name
    if not is_gdal_name(name):
        raise error(f"raster '{name}' does not exist; check the path")
    check_name(name, error)
    return name


def exists(path: Path) -> bool:
    """Whether there is such a file; also False where the system does not let us look."""
    try:
        return path.exists()
    except OSError:
        return False


def check_name(name: str, error: type[RsmetaError] = SceneError) -> None:
    """Refuse a name, other than a path, of a kind that is not opened.

    Raises:
        RsmetaError: As `error`.
    """
    scheme = re.match(r"([\w+]+)://", name)
    if scheme is not None:
        unknown = [part for part in scheme[1].lower().split("+") if part not in SCHEMES]
        if unknown:
            raise error(
                f"raster '{name}' is named by '{unknown[0]}://'; allowed are paths and "
                f"{', '.join(f'{known}://' for known in SCHEMES)}: download it and name the file"
            )
        return
    text = unquote(name)
    for system in re.findall(r"/vsi(\w*)", text):
        if system.removesuffix("_streaming") not in FILE_SYSTEMS:
            raise error(
                f"raster '{name}' is in GDAL's file system '/vsi{system}'; allowed are "
                f"{', '.join(f'/vsi{known}' for known in FILE_SYSTEMS)}: copy it to a file"
            )
    for inner in re.findall(r"""(?:^|[/="{:,])([A-Za-z][A-Za-z0-9+]*)://""", text):
        if inner.lower() not in _WEB:
            raise error(
                f"raster '{name}' is read by '{inner}://'; allowed there are http:// and https://: "
                "download it and name the file"
            )
    prefix = _PREFIX.match(name)
    if prefix is not None and prefix[1].upper() not in SUBDATASETS:
        raise error(
            f"raster '{name}' begins with '{prefix[1]}:', which is not opened; allowed are paths, "
            f"URLs, and rasters inside files of {', '.join(SUBDATASETS)}: convert it to a GeoTIFF"
        )


def _check_vrt(path: Path, error: type[RsmetaError]) -> None:
    """Refuse a VRT that is computed by Python code, or made of what may not be opened."""
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            if b"<VRTDataset" not in file.read(_VRT_HEAD):
                return
        root = ElementTree.parse(path).getroot()
    except OSError as cause:
        raise error(f"raster '{path}' cannot be read: {cause.strerror}") from cause
    except (ElementTree.ParseError, ValueError, LookupError) as cause:
        raise error(f"raster '{path}' is a damaged VRT: {cause}; make it again") from cause
    if any((e.text or "").strip() == "Python" for e in root.iter("PixelFunctionLanguage")):
        raise error(
            f"raster '{path}' is a VRT with Python code, which is never run; allowed are GDAL's "
            "own pixel functions: turn it into a GeoTIFF where you trust it"
        )
    for name in _sources(root):
        if is_gdal_name(name):
            check_name(name, error)


def _sources(root: ElementTree.Element) -> Iterator[str]:
    for tag in ("SourceFilename", "SourceDataset"):
        for element in root.iter(tag):
            yield (element.text or "").strip()
