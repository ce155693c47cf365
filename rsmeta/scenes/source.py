"""What a scene is made of: one raster, or several that each hold some of its bands."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from urllib.parse import urlsplit

from rsmeta.band_names import same_band

PLACEHOLDER = "{band}"
"""Stands for the name of a band in the path of a scene that has one file a band."""

_LONGEST_NAME = 150


@dataclass(frozen=True)
class RasterPart:
    """A raster that holds bands of a scene.

    Attributes:
        path: A file, or anything GDAL opens by name.
        bands: Names of its data bands, in file order; None for those it gives itself.
    """

    path: str
    bands: tuple[str, ...] | None = None


class SceneSource(ABC):
    """A scene that has not been opened; another process can open it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What its products are named after."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where it comes from, for messages."""

    @property
    def taken(self) -> datetime | None:
        """When it was taken, as far as the source itself tells."""
        return None

    @abstractmethod
    def parts(self, wanted: Sequence[str]) -> tuple[RasterPart, ...]:
        """Rasters that hold the wanted bands, and perhaps others.

        Raises:
            SceneError: The source says of itself that it lacks one of them.
        """


@dataclass(frozen=True)
class RasterSource(SceneSource):
    """A scene in one raster.

    Attributes:
        path: A file, or anything GDAL opens by name.
        bands: Names of its data bands, in file order; None for those it gives itself.
    """

    path: str
    bands: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return stem(self.path)

    @property
    def origin(self) -> str:
        """The path."""
        return self.path

    def parts(self, wanted: Sequence[str]) -> tuple[RasterPart, ...]:
        """The raster; see `SceneSource.parts`."""
        return (RasterPart(self.path, self.bands),)


@dataclass(frozen=True)
class BandFiles(SceneSource):
    """A scene of single-band files.

    Attributes:
        files: Band names and the path of each.
    """

    files: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """What the files' names begin with together, or `scene`."""
        return _trimmed(_common_start([stem(path) for _, path in self.files])) or "scene"

    @property
    def origin(self) -> str:
        """The first file."""
        return self.files[0][1]

    def parts(self, wanted: Sequence[str]) -> tuple[RasterPart, ...]:
        """The files of the wanted bands, where there is one; see `SceneSource.parts`."""
        parts = [
            RasterPart(path, (band,))
            for band, path in self.files
            if any(same_band(band, want) for want in wanted)
        ]
        return tuple(parts) or tuple(RasterPart(path, (band,)) for band, path in self.files)


@dataclass(frozen=True)
class BandPattern(SceneSource):
    """A scene of single-band files whose paths differ in the name of the band alone.

    Attributes:
        path: With `{band}` for the name of the band.
        bands: Names of its bands; None for the names that the model has for them.
    """

    path: str
    bands: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The files' name without band and suffix, or `scene`."""
        return _trimmed(stem(self.path).replace(PLACEHOLDER, "")) or "scene"

    @property
    def origin(self) -> str:
        """The path."""
        return self.path

    def parts(self, wanted: Sequence[str]) -> tuple[RasterPart, ...]:
        """The file of each band; see `SceneSource.parts`."""
        bands = tuple(wanted) if self.bands is None else self.bands
        files = tuple((band, self.path.replace(PLACEHOLDER, band)) for band in bands)
        return BandFiles(files).parts(wanted)


def stem(path: str) -> str:
    """Name of a raster without folders, suffix and the query of a URL, fit for a file name.

    A dataset of a GDAL driver is named after its file and itself: `NETCDF:"a.nc":b` is `a_b`.
    """
    if "://" in path:
        path = urlsplit(path).path
    driver = re.match(r"[A-Za-z]\w+:", path)
    if driver is not None:
        words = path[driver.end() :].replace('"', "").split(":")
        return file_name("_".join(PurePath(word.strip("/")).stem for word in words))
    return file_name(PurePath(path).stem)


def file_name(text: str) -> str:
    """Replace what file systems do not allow in the name of a file, and cut it to 150 bytes.

    With the endings of products it stays below the 255 bytes of most file systems. Blanks at its
    ends go, too: GDAL does not find a file whose name begins with one by a VRT.
    """
    allowed = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]', "_", text)
    return allowed.encode()[:_LONGEST_NAME].decode(errors="ignore").strip()


def _common_start(texts: Sequence[str]) -> str:
    length = 0
    while all(len(text) > length for text in texts) and len({t[length] for t in texts}) == 1:
        length += 1
    return texts[0][:length]


def _trimmed(text: str) -> str:
    return re.sub(r"_{2,}", "_", text).strip(" _-.,")
