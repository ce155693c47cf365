"""All chips of a recipe in one memory-mapped file, written by `rsmeta pack`.

The file is an Arrow IPC file, uncompressed: a row a chip, with its pixels, shape, pixel size,
label, split and name; classes and bands are in its metadata. Shards (webdataset, litdata) are made
for streams from object stores that are shuffled in a buffer. Here an epoch draws single chips from
anywhere, by class and by split, from sets of up to some 10 GB on a local disk: that is random
access, which a memory map serves without decoding or copying, and all processes that read it share
the system's page cache. Arrow stores what shards would need a convention for, and pandas, R and
DuckDB read it.

Chips are packed as they are trained on, after the crop, the draw of the long tail and any change of
units. They may differ in size.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray
from pydantic import TypeAdapter

from rsmeta.bands import SENSORS, Band
from rsmeta.data.chips import ChipSet, LabelledData
from rsmeta.errors import DataError
from rsmeta.recipe import PackedData, Recipe, SensorChips
from rsmeta.whole_files import whole_file

_KEY = b"rsmeta"
_BANDS = TypeAdapter(tuple[Band, ...])
_Row = tuple[str, int, float | None, NDArray[np.float32]]
_BATCH_BYTES = 16 * 2**20  # of pixels in a record batch


class PackedChips(ChipSet):
    """The chips of one split of a packed file.

    Args:
        rows: Rows of the split, memory-mapped.
        bands: Number of bands of every chip.
        classes: Number of classes.

    Raises:
        ValueError: A label is of none of the classes, or a chip has too few pixels or too many.
    """

    def __init__(self, rows: pa.Table, bands: int, classes: int) -> None:
        self.labels = rows["label"].to_numpy().astype(np.int64)
        if not ((self.labels >= 0) & (self.labels < classes)).all():
            raise ValueError("a label is of no class")
        self._names = rows["name"]
        self._pixel_sizes = rows["pixel_size"]
        self._bands = bands
        self._heights = rows["height"].to_numpy()
        self._pixels: list[NDArray[np.float32]] = []
        for chunk in rows["pixels"].chunks:
            values, offsets = chunk.values.to_numpy(), chunk.offsets.to_numpy()
            self._pixels += [values[start:end] for start, end in pairwise(offsets)]
        sizes = bands * self._heights.astype(np.int64) * rows["width"].to_numpy()
        if [len(pixels) for pixels in self._pixels] != sizes.tolist():
            raise ValueError("pixels do not fill the shape of their chip")

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip, read-only; see `ChipSet.read`."""
        return self._pixels[index].reshape(self._bands, self._heights[index], -1)

    def describe(self, index: int) -> str:
        """What the chip was called before it was packed."""
        return str(self._names[index].as_py())

    def pixel_size(self, index: int) -> float | None:
        """The chip's pixel size before it was packed."""
        size: float | None = self._pixel_sizes[index].as_py()
        return size


def load_packed(config: PackedData, seed: int) -> LabelledData:
    """Chips of a packed file; they stay in the file until they are read.

    Args:
        config: The recipe's section.
        seed: Without effect: what was drawn when packing is what there is.

    Raises:
        DataError: The file is missing, damaged, no packed file, or holds other bands.
    """
    file, bands = config.file, config.selected_bands
    if not file.is_file():
        raise DataError(
            f"packed file '{file}' does not exist (data.file); make it with: rsmeta pack RECIPE OUT"
        )
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(file)))
        about = json.loads(reader.schema.metadata[_KEY])
        packed_bands = _BANDS.validate_python(about["bands"])
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        # A record batch holds chips of one split alone.
        train, test = (
            pa.Table.from_batches([b for b in batches if b["split"][0].as_py() == split])
            for split in ("train", "test")
        )
        classes = tuple(about["classes"])
        train_set, test_set = (
            PackedChips(rows, len(packed_bands), len(classes)) for rows in (train, test)
        )
    except (pa.ArrowException, LookupError, OSError, TypeError, ValueError) as error:
        raise DataError(
            f"packed file '{file}' is damaged or was not written by rsmeta; make it again with: "
            "rsmeta pack RECIPE OUT"
        ) from error
    if _named(packed_bands) != _named(bands):
        raise DataError(
            f"packed file '{file}' holds the bands {_named(packed_bands)}, the recipe names "
            f"{_named(bands)}; set data.sensor and data.bands to those of the file"
        )
    return LabelledData(train_set, test_set, classes, bands)


def _named(bands: Sequence[Band]) -> str:
    return ", ".join(f"{band.name} ({band.unit.value})" for band in bands)


def packed_section(recipe: Recipe, data: LabelledData, file: Path) -> str:
    """The `data` section, in YAML, of a recipe that trains from a packed file.

    Args:
        recipe: The recipe that the chips were packed by.
        data: Its chips.
        file: The packed file.
    """
    section: dict[str, Any] = {"source": "packed", "file": str(file)}
    if isinstance(recipe.data, SensorChips):
        section["sensor"] = recipe.data.sensor
        if recipe.data.units is not None:
            section["units"] = recipe.data.units.model_dump()
    elif known := [s.name for s in SENSORS.values() if set(data.bands) <= set(s.bands)]:
        section["sensor"] = known[0]
    section["bands"] = [band.name for band in data.bands]
    return yaml.safe_dump(
        section, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
    ).strip()


def pack_chips(data: LabelledData, file: Path, advance: Callable[[], None] = lambda: None) -> None:
    """Write all chips to one file, in place of an older one only when it is complete.

    Args:
        data: The chips.
        file: File to write; its folder is made.
        advance: Called after each chip.

    Raises:
        DataError: A chip cannot be read, or the file cannot be written.
    """
    about = {"classes": data.classes, "bands": _BANDS.dump_python(data.bands, mode="json")}
    schema = pa.schema(
        {
            "name": pa.string(),
            "split": pa.string(),
            "label": pa.int64(),
            "height": pa.int32(),
            "width": pa.int32(),
            "pixel_size": pa.float64(),
            "pixels": pa.large_list(pa.float32()),
        },
        {_KEY: json.dumps(about).encode()},
    )
    try:
        with (
            whole_file(file) as draft,
            pa.OSFile(str(draft), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            for split, chips in (("train", data.train), ("test", data.test)):
                for batch in _batches(chips, split, schema, advance):
                    writer.write_batch(batch)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"packed file '{file}' cannot be written: {reason}") from error


def _batches(
    chips: ChipSet, split: str, schema: pa.Schema, advance: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    rows: list[_Row] = []
    size = 0
    for index in range(len(chips)):
        chip = chips.read(index)
        size_on_ground = chips.pixel_size(index)
        rows.append((chips.describe(index), int(chips.labels[index]), size_on_ground, chip))
        size += chip.nbytes
        advance()
        if size >= _BATCH_BYTES or index + 1 == len(chips):
            yield _batch(rows, split, schema)
            rows, size = [], 0


def _batch(rows: list[_Row], split: str, schema: pa.Schema) -> pa.RecordBatch:
    names, labels, pixel_sizes, chips = zip(*rows, strict=True)
    offsets = np.cumsum([0, *(chip.size for chip in chips)])
    pixels = np.concatenate([chip.ravel() for chip in chips])
    columns = {
        "name": names,
        "split": [split] * len(rows),
        "label": labels,
        "height": [chip.shape[1] for chip in chips],
        "width": [chip.shape[2] for chip in chips],
        "pixel_size": pixel_sizes,
        "pixels": pa.LargeListArray.from_arrays(offsets, pixels),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
