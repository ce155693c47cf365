"""The unit of work: some tile rows of a scene in, the probabilities of their tiles out.

A unit needs nothing but what is in `SceneWork`, which any process can be sent. Its batches are
its own, so that its result does not depend on which process does it, or what it did before.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsmeta.errors import SceneError
from rsmeta.prediction_options import TestTimeAugmentation
from rsmeta.scenes.ahead import ahead
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.limits import require_size
from rsmeta.scenes.opening import OpenScene, ReadOptions, open_scene
from rsmeta.scenes.reader import Tile, match_bands, read_tiles
from rsmeta.scenes.source import SceneSource
from rsmeta.scenes.symmetries import mean_probabilities

_LEAST_CACHE_BYTES = 32_000_000
_TILED_CACHE_BYTES = 64_000_000
_STRIPED_CACHE_BYTES = 128_000_000
_READ_BYTES = 12_000_000
_BATCH_BYTES = 12_000_000
_BATCH = 32
_TILES = 256
_ROWS = 4
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class GridOptions:
    """How tiles are laid over scenes and classified.

    Attributes:
        tile: Side of a tile in pixels; None for that of the training chips.
        stride: Step between tiles in pixels, 1..tile; None for half a tile.
        augmentation: `none`, or `d4` for the mean over the eight orientations of each tile.
        batch_size: Tiles given to the model at once, at most; None for 32, or the power of two
            that fits into 12 MB.
    """

    tile: int | None = None
    stride: int | None = None
    augmentation: TestTimeAugmentation = "none"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise SceneError(f"batch size {self.batch_size} is too small; allowed: 1 or more")
        if self.augmentation not in ("none", "d4"):
            raise SceneError(
                f"test-time augmentation '{self.augmentation}' is unknown; allowed: none, d4"
            )


@dataclass(frozen=True)
class SceneWork:
    """All that is to be done for a scene, and how.

    Attributes:
        source: The scene.
        options: How it is read.
        grid: The tile grid.
        augmentation: `none` or `d4`.
        batch_size: Tiles given to the model at once, at most.
        units: The tile rows of each unit, together all of the grid's.
        bands: Number of bands that the model reads.
        cache_bytes: Size of GDAL's block cache.
    """

    source: SceneSource
    options: ReadOptions
    grid: TileGrid
    augmentation: TestTimeAugmentation
    batch_size: int
    units: tuple[range, ...]
    bands: int
    cache_bytes: int

    def reads(self, rows: range) -> Iterator[tuple[range, range]]:
        """Tile rows and columns read at once, for all tiles of some tile rows.

        Columns go first as far as possible: blocks of the file are then met but once.
        """
        pixels = _READ_BYTES // (_FLOAT_BYTES * self.bands)
        deep = _fitting(self.grid, pixels // self.grid.tile, len(rows))
        wide = _fitting(self.grid, pixels // self.grid.span(deep), self.grid.columns)
        for left in range(0, self.grid.columns, wide):
            for top in range(rows.start, rows.stop, deep):
                yield (
                    range(top, min(top + deep, rows.stop)),
                    range(left, min(left + wide, self.grid.columns)),
                )


@dataclass(frozen=True)
class UnitResult:
    """Probabilities of the tiles of one unit that hold a valid pixel, top to bottom.

    Attributes:
        row: Tile row of each, rising; (tiles,).
        column: Tile column of each, rising within a tile row; (tiles,).
        valid_fraction: Share of its area that is valid pixels; (tiles,).
        probabilities: (tiles, classes).
        valid: Which pixels of the rows that the unit closes are valid, eight to a byte;
            (pixel rows, width / 8 rounded up).
    """

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    valid_fraction: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    valid: NDArray[np.uint8]


def plan_work(
    source: SceneSource,
    scene: OpenScene,
    classifier: TileClassifier,
    options: ReadOptions,
    grid: GridOptions,
) -> SceneWork:
    """Lay the tile grid over an open scene and divide it into units.

    Raises:
        SceneError: The model does not take such tiles, the stride does not fit them, or there are
            too many cells.
        MemoryError: A row of tiles does not fit into memory.
    """
    side = classifier.tile_size if grid.tile is None else grid.tile
    sizes = classifier.tile_sizes
    if side not in sizes:
        raise SceneError(
            f"tiles of {side} px do not fit the model, which was trained on chips of "
            f"{classifier.tile_size} px; allowed: {sizes[0]} to {sizes[-1]}"
        )
    tiles = TileGrid.over(scene.height, scene.width, side, grid.stride)
    unit_rows = _unit_rows(tiles, scene)
    require_size(tiles, len(classifier.classes), unit_rows)
    bands = len(classifier.bands)
    fitting = max(1, min(_BATCH, _BATCH_BYTES // (_FLOAT_BYTES * bands * side**2)))
    return SceneWork(
        source=source,
        options=options,
        grid=tiles,
        augmentation=grid.augmentation,
        # Models compute in groups of powers of two: others would be filled up.
        batch_size=grid.batch_size or 1 << (fitting.bit_length() - 1),
        units=_units(tiles, unit_rows),
        bands=bands,
        cache_bytes=_cache_bytes(tiles, scene, unit_rows),
    )


def classify_unit(work: SceneWork, classifier: TileClassifier, rows: range) -> UnitResult:
    """Classify the tiles of some tile rows; see `classify_units`."""
    (result,) = classify_units(work, classifier, [rows])
    return result


def classify_units(
    work: SceneWork, classifier: TileClassifier, units: Iterable[range]
) -> Generator[UnitResult]:
    """Classify units of a scene one after the other; a thread reads ahead of the model.

    Args:
        work: The scene.
        classifier: The model.
        units: Tile rows of each unit.

    Yields:
        The result of each unit.

    Raises:
        SceneError: The scene cannot be read, or the model returned something other than finite
            class probabilities.
    """
    with (
        ahead(_read_units(work, classifier, units), depth=2) as reads,
        ThreadPoolExecutor(classifier.concurrency) as threads,
    ):
        batcher = _Batcher(work, classifier, threads)
        unit: _Unit | None = None
        for read in reads:
            for tile in read.tiles:
                batcher.push(tile)
            if read.unit_valid is not None:
                # The model gets the next unit before the last batches of this one are waited for.
                before, unit = unit, batcher.finish(read.unit_valid)
                if before is not None:
                    yield before.result()
        if unit is not None:
            yield unit.result()


@dataclass(frozen=True)
class _Read:
    """Tiles of one read, and with the last read of a unit the valid pixels of its rows."""

    tiles: list[Tile]
    unit_valid: NDArray[np.uint8] | None


def _read_units(
    work: SceneWork, classifier: TileClassifier, units: Iterable[range]
) -> Generator[_Read]:
    grid = work.grid
    with (
        rasterio.Env(GDAL_CACHEMAX=work.cache_bytes),
        open_scene(work.source, classifier.bands, work.options) as scene,
    ):
        indexes = match_bands(scene, classifier.bands, work.options.missing_bands)
        for unit in units:
            top, bottom = unit.start * grid.stride, grid.closed_rows(unit[-1]).stop
            valid = np.zeros((bottom - top, grid.width), dtype=np.bool_)
            reads = list(work.reads(unit))
            for rows, columns in reads:
                tiles, own = read_tiles(scene, indexes, grid, rows, columns, classifier)
                y, x = (rows.start - unit.start) * grid.stride, columns.start * grid.stride
                part = valid[y : y + own.shape[0], x : x + own.shape[1]]
                part[:] = own[: part.shape[0]]
                last = (rows, columns) == reads[-1]
                yield _Read(tiles, np.packbits(valid, axis=1) if last else None)


@dataclass(frozen=True)
class _Unit:
    """A unit all of whose batches the model has been given.

    Attributes:
        places: Row, column and share of valid pixels of each tile, in the order of the batches.
        batches: Their probabilities.
        valid: As that of `UnitResult`.
        classes: Number of classes.
    """

    places: Sequence[tuple[int, int, float]]
    batches: Sequence[Future[NDArray[np.float32]]]
    valid: NDArray[np.uint8]
    classes: int

    def result(self) -> UnitResult:
        """Wait for the model."""
        places = np.array(self.places, dtype=np.float64).reshape(-1, 3)
        order = np.lexsort((places[:, 1], places[:, 0]))
        batches = [batch.result() for batch in self.batches]
        found = np.concatenate([np.empty((0, self.classes), np.float32), *batches])
        return UnitResult(
            row=places[order, 0].astype(np.int32),
            column=places[order, 1].astype(np.int32),
            valid_fraction=places[order, 2],
            probabilities=found[order],
            valid=self.valid,
        )


class _Batcher:
    """Gives the tiles of a unit to the model in batches, as many at a time as it takes."""

    def __init__(
        self, work: SceneWork, classifier: TileClassifier, threads: ThreadPoolExecutor
    ) -> None:
        self._work = work
        self._classifier = classifier
        self._threads = threads
        self._waiting: list[Tile] = []
        self._places: list[tuple[int, int, float]] = []
        self._batches: list[Future[NDArray[np.float32]]] = []
        self._under_way: deque[Future[NDArray[np.float32]]] = deque()

    def push(self, tile: Tile) -> None:
        """Add a tile; a full batch goes to the model at once, or when it has time."""
        self._waiting.append(tile)
        self._places.append((tile.row, tile.column, tile.valid_fraction))
        if len(self._waiting) == self._work.batch_size:
            self._flush()

    def finish(self, valid: NDArray[np.uint8]) -> _Unit:
        """Give the model what waits, and begin the next unit."""
        self._flush()
        unit = _Unit(self._places, self._batches, valid, len(self._classifier.classes))
        self._places, self._batches = [], []
        return unit

    def _flush(self) -> None:
        if not self._waiting:
            return
        if len(self._under_way) > self._classifier.concurrency:
            # A failure shows when its own unit is asked for, after what went well before it.
            wait([self._under_way.popleft()])
        batch = np.stack([tile.values for tile in self._waiting])
        self._waiting = []
        future = self._threads.submit(_probabilities, self._work, self._classifier, batch)
        self._batches.append(future)
        self._under_way.append(future)


def _probabilities(
    work: SceneWork, classifier: TileClassifier, batch: NDArray[np.float32]
) -> NDArray[np.float32]:
    result = mean_probabilities(classifier, batch, work.augmentation)
    expected = (len(batch), len(classifier.classes))
    if result.shape != expected or not np.isfinite(result).all():
        raise SceneError(
            f"the model returned {list(result.shape)} probabilities, finite: "
            f"{bool(np.isfinite(result).all())}; allowed are {list(expected)} finite ones: "
            "check its weights and class list"
        )
    return result


def _unit_rows(grid: TileGrid, scene: OpenScene) -> int:
    """Tile rows that fill some batches together, fewer where the cache would not hold them.

    Neighbouring units both read the rows where they overlap, so that there are several in each.
    """
    rows = min(grid.rows, max(_ROWS, -(-_TILES // grid.columns)))
    while rows > 1 and scene.striped and _row_cache(grid, scene, rows) > _STRIPED_CACHE_BYTES:
        rows -= 1
    return rows


def _units(grid: TileGrid, rows: int) -> tuple[range, ...]:
    """All tile rows, so many at a time."""
    starts: Sequence[int] = range(0, grid.rows, rows)
    return tuple(range(start, min(start + rows, grid.rows)) for start in starts)


def _cache_bytes(grid: TileGrid, scene: OpenScene, rows: int) -> int:
    """Size of GDAL's block cache, which by default grows with the machine.

    Strips are met by all reads of a unit: with less cache they would be decoded for each. Blocks
    of tiled files are met again by the next unit only.
    """
    most = _STRIPED_CACHE_BYTES if scene.striped else _TILED_CACHE_BYTES
    return int(np.clip(_row_cache(grid, scene, rows), _LEAST_CACHE_BYTES, most))


def _row_cache(grid: TileGrid, scene: OpenScene, rows: int) -> int:
    """Bytes of all the file's blocks that some tile rows meet."""
    return (grid.span(rows) + 2 * scene.block_height) * scene.row_bytes


def _fitting(grid: TileGrid, pixels: int, most: int) -> int:
    """Neighbouring tiles that fit into so many pixels, 1 to `most`."""
    return max(1, min(most, (pixels - grid.tile) // grid.stride + 1))
