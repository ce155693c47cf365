"""What determines the prediction of a scene, as keys that differ where the prediction may."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import requests
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsmeta.errors import SceneError
from rsmeta.rasters import open_raster, reading
from rsmeta.scenes.opening import OpenScene
from rsmeta.scenes.source import RasterSource
from rsmeta.scenes.work import SceneWork

_SECONDS = 30
_SAMPLES = 8
_HEADERS = ("ETag", "Last-Modified", "Content-Length")
_REMOTE = re.compile(r"/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)[/?_]")


@dataclass(frozen=True)
class Keys:
    """Keys of the prediction of a scene.

    Attributes:
        work: Of the results of its units: all that they depend on, batches included.
        content: Of what they mean: the same for any division into units and batches.
        local: Whether the scene is on this machine's disks, so that an error in reading it
            will not go away by itself.
    """

    work: str
    content: str
    local: bool


def prediction_keys(work: SceneWork, scene: OpenScene, model: str) -> Keys:
    """Keys of the prediction of an open scene.

    Args:
        work: What is to be done.
        scene: The open scene.
        model: Fingerprint of the model.
    """
    # What says no more than the files do, or depends on the working folder.
    bare = replace(work, source=RasterSource(""), cache_bytes=0)
    meaning = replace(bare, batch_size=0, units=())
    common = scene_fingerprint(scene) + model
    return Keys(
        work=_digest(common, repr(bare)),
        content=_digest(common, repr(meaning)),
        local=not any(_is_remote(path) for path in _files(scene)),
    )


def scene_fingerprint(scene: OpenScene) -> str:
    """Differs between scenes that may hold other values, and tells which files they are."""
    files = [_file(scene, path) for path in sorted(_files(scene))]
    layers = [(layer.index, layer.name) for layer in scene.layers]
    return _digest(json.dumps([files, layers]))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


def _files(scene: OpenScene) -> set[str]:
    """Files of the scene's rasters, with masks and what a VRT refers to."""
    found: set[str] = set()
    for layer in scene.layers:
        # A resampled raster is a VRT without a name; what it reads is in `path`.
        found |= {layer.path, *(str(file) for file in layer.dataset.files)}
    named = {file for file in found if file and not file.lstrip().startswith("<")}
    return named | _below(named)


def _below(files: set[str]) -> set[str]:
    """Files of the VRTs among some files: of a VRT of VRTs GDAL names the first below alone."""
    seen, new = set(files), files
    while new:
        named: set[str] = set()
        for file in sorted(new):
            if file.casefold().endswith(".vrt"):
                # One that cannot be opened is told of where it is read.
                with suppress(SceneError), open_raster(file) as dataset:
                    named |= {str(name) for name in dataset.files}
        new = named - seen
        seen |= new
    return seen


def _file(scene: OpenScene, path: str) -> list[str]:
    """Name of a file, and what changes when its content does."""
    local = None if _is_remote(path) else _on_disk(path)
    if local is not None:
        status = local.stat()
        return [path, str(local.absolute()), str(status.st_size), str(status.st_mtime_ns)]
    name = path.split("?")[0]  # a signed URL has another query each time
    headers = _headers(path)
    if headers:
        return [name, *headers]
    layers = [layer for layer in scene.layers if layer.path == path]
    return [name, *(_sample(layer.dataset, path, layer.index) for layer in layers)]


def _is_remote(path: str) -> bool:
    return "://" in path or _REMOTE.search(path) is not None


def _on_disk(path: str) -> Path | None:
    """The file itself, or the archive that it lies in."""
    bare = re.sub(r"^(/vsi\w+/)+", "", path)
    for candidate in (Path(path), Path(bare), *Path(bare).parents, *Path("/", bare).parents):
        if candidate.is_file():
            return candidate
    return None


def _headers(path: str) -> list[str]:
    """What a web server says of the version of a file; nothing where none is asked."""
    url = path.removeprefix("/vsicurl/")
    if urlsplit(url).scheme not in ("http", "https"):
        return []
    try:
        answer = requests.head(url, allow_redirects=True, timeout=_SECONDS)
    except requests.RequestException:
        return []
    found = [answer.headers.get(name, "") for name in _HEADERS]
    return found if answer.ok and any(found[:2]) else []


def _sample(dataset: DatasetReader, path: str, index: int) -> str:
    """Digest of some blocks along the diagonal of a band, and of what is said of it."""
    found = hashlib.sha256(repr((dataset.profile, sorted(dataset.tags().items()))).encode())
    with reading(path):
        for window in _diagonal(dataset, index):
            found.update(np.ascontiguousarray(dataset.read(index, window=window)).tobytes())
    return found.hexdigest()


def _diagonal(dataset: DatasetReader, index: int) -> Iterator[Window]:
    height, width = (min(256, side) for side in dataset.block_shapes[index - 1])
    rows = np.linspace(0, max(0, dataset.height - height), _SAMPLES).astype(int)
    columns = np.linspace(0, max(0, dataset.width - width), _SAMPLES).astype(int)
    for row, column in zip(rows, columns, strict=True):
        part = min(height, dataset.height - row), min(width, dataset.width - column)
        yield Window(int(column), int(row), int(part[1]), int(part[0]))
