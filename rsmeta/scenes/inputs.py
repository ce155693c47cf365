"""From what a user names to scenes: rasters, folders, globs, lists, STAC items, band patterns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from glob import glob, has_magic
from os import PathLike
from pathlib import Path

from rasterio.drivers import raster_driver_extensions

from rsmeta.errors import SceneError
from rsmeta.raster_names import is_gdal_name
from rsmeta.scenes.source import (
    PLACEHOLDER,
    BandFiles,
    BandPattern,
    RasterSource,
    SceneSource,
)
from rsmeta.scenes.stac_items import read_stac_items

BandNames = tuple[str, ...]
BandPlaces = Mapping[str, str]

_RASTER_FOLDERS = frozenset({".zarr", ".safe"})
_SIDECARS = frozenset({".xml", ".ovr", ".msk", ".hdr", ".prj", ".tfw", ".wld"})
# Suffixes of a GDAL raster driver that in a folder of scenes are descriptions or vectors.
_NO_SCENES = _SIDECARS | {
    *(".cal", ".dat", ".err", ".gen", ".gpkg", ".kml", ".kmz", ".lbl", ".map", ".pdf", ".rda"),
    *(".rst", ".sqlite"),
}


def parse_bands(texts: Sequence[str]) -> BandNames | BandPlaces | None:
    """Read what `--bands` was given.

    Args:
        texts: Each a list of names in file order, `B02,B03`, or of names and the file or the STAC
            asset of each, `B02=blue.tif,B03=green.tif`; paths may hold commas. None at all: None.

    Returns:
        Names in order, or names with their places.

    Raises:
        SceneError: A text is neither, both kinds are mixed, or a name stands twice.
    """
    items = [item.strip() for text in texts for item in _split(text)]
    pairs = [item.partition("=") for item in items]
    names = [name.strip() for name, _, _ in pairs]
    placed = [bool(sign) for _, sign, _ in pairs]
    given = ",".join(texts)
    if not all(names) or (any(placed) and not all(place for _, _, place in pairs)):
        raise SceneError(
            f"--bands '{given}' cannot be read; allowed: names in file order (B02,B03), or each "
            "name with its file (B02=blue.tif,B03=green.tif)"
        )
    if len(set(names)) < len(names):
        raise SceneError(f"--bands '{given}' names a band twice; name each band once")
    if any(placed):
        return {name: place.strip() for name, (_, _, place) in zip(names, pairs, strict=True)}
    return tuple(names) or None


def _split(text: str) -> list[str]:
    """Split at commas; in a list with `=`, only at those before a name with `=`."""
    return re.split(r",(?=\s*[\w .+-]+=)", text) if "=" in text else text.split(",")


def scene_sources(
    inputs: Sequence[str | PathLike[str] | SceneSource],
    bands: BandNames | BandPlaces | None = None,
) -> tuple[SceneSource, ...]:
    """Find the scenes that inputs stand for.

    Args:
        inputs: Each a raster (a path, a URL, or another name that GDAL opens), a folder (all
            rasters in it), a glob, a path with `{band}` (one file a band; `*` and `?` may make it
            several scenes), a text file with one input a line (paths from its folder), a STAC
            item or item collection in a JSON file, or a scene already found.
        bands: Names of the scenes' bands in file order, in place of their own; or a file for
            each band, which is one scene without further inputs; or an asset of the STAC items
            for each band.

    Returns:
        The scenes, in the order of the inputs and sorted by path within one.

    Raises:
        SceneError: An input holds no scene or does not go with `bands`, or two scenes have the
            same name, so that their products would overwrite each other.
    """
    if isinstance(bands, Mapping) and not inputs:
        return (BandFiles(tuple(bands.items())),)
    if not inputs:
        raise SceneError(
            "no scene was given; name a raster, a folder, a glob, a list or a STAC item"
        )
    found: list[SceneSource] = []
    for item in inputs:
        found.extend([item] if isinstance(item, SceneSource) else _expand(str(item), bands))
    _check_names(found)
    return tuple(found)


def _check_names(scenes: Sequence[SceneSource]) -> None:
    named: dict[str, SceneSource] = {}
    for scene in scenes:
        # Some file systems do not tell upper from lower case.
        other = named.setdefault(scene.name.casefold(), scene)
        if other is not scene:
            raise SceneError(
                f"several scenes are named '{scene.name}' ({other.origin} and {scene.origin}), so "
                "that their products would overwrite each other; predict them into different "
                "folders with --out"
            )


def _expand(text: str, bands: BandNames | BandPlaces | None) -> Iterator[SceneSource]:
    path = Path(text)
    if path.suffix.casefold() == ".txt" and path.is_file():
        for line in _lines(path):
            yield from _expand_one(line, bands)
    else:
        yield from _expand_one(text, bands)


def _expand_one(text: str, bands: BandNames | BandPlaces | None) -> Iterator[SceneSource]:
    path = Path(text)
    local = not is_gdal_name(text)
    if local and path.suffix.casefold() in (".json", ".geojson"):
        yield from read_stac_items(path, bands)
        return
    if isinstance(bands, Mapping):
        raise SceneError(
            f"scene '{text}' does not go with files in --bands; allowed: STAC items, whose assets "
            "it names, or no scene: leave one of the two out"
        )
    if PLACEHOLDER in text:
        yield from (BandPattern(pattern, bands) for pattern in _patterns(text))
    elif local and path.is_dir() and path.suffix.casefold() not in _RASTER_FOLDERS:
        yield from (RasterSource(file, bands) for file in _rasters_in(path))
    elif local and has_magic(text) and not path.exists():
        yield from (RasterSource(file, bands) for file in _globbed(text))
    else:
        yield RasterSource(text, bands)


def _lines(path: Path) -> Iterator[str]:
    """Inputs that a list names; blank lines and those that begin with # do not count."""
    try:
        # Editors on Windows begin a file with a byte order mark.
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as cause:
        raise SceneError(f"list '{path}' cannot be read: {cause}; give text in UTF-8") from cause
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise SceneError(f"list '{path}' names no scene; write one a line")
    for line in lines:
        if line.casefold().endswith(".txt"):
            raise SceneError(f"list '{path}' names another list, '{line}'; name scenes, one a line")
        yield line if is_gdal_name(line) else str(path.parent / line)


def _rasters_in(folder: Path) -> list[str]:
    suffixes = {f".{name}" for name in raster_driver_extensions()} - _NO_SCENES
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    rasters = [str(file) for file in files if file.suffix.casefold() in suffixes and file.is_file()]
    if not rasters:
        raise SceneError(f"folder '{folder}' holds no raster; give one with rasters in it")
    return rasters


def _globbed(pattern: str) -> list[str]:
    files = sorted(Path(name) for name in glob(pattern, recursive=True))  # noqa: PTH207 (absolute or not)
    rasters = [
        str(file) for file in files if file.suffix.casefold() not in _SIDECARS and file.is_file()
    ]
    if not rasters:
        raise SceneError(f"no raster matches '{pattern}'; check the path")
    return rasters


def _patterns(text: str) -> list[str]:
    """Paths with `{band}` and no wildcard that a path with `{band}` stands for."""
    if not has_magic(text) or is_gdal_name(text):
        return [text]
    wild = {"*": "[^/]*", "?": "[^/]"}
    pieces = (re.split(r"([*?])", part) for part in text.split(PLACEHOLDER))
    literal = ["".join(wild.get(p, re.escape(p)) for p in piece) for piece in pieces]
    # The parts around the band are what tells one scene from another.
    expression = re.compile("[A-Za-z0-9]+".join(f"({part})" for part in literal))
    matches = map(expression.fullmatch, glob(text.replace(PLACEHOLDER, "*")))  # noqa: PTH207
    scenes = {PLACEHOLDER.join(match.groups()) for match in matches if match is not None}
    if not scenes:
        raise SceneError(
            f"no file matches '{text}' with a band's name for {{band}}; check the path"
        )
    return sorted(scenes)
