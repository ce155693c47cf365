"""The stream from scene to classified cell rows: read, batch, classify, blend."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmeta.errors import SceneError
from rsmeta.scenes.blend import CellBlender
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import OpenScene
from rsmeta.scenes.reader import Tile, read_tiles

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ClassifiedRows:
    """The part of a scene that one tile row completes.

    Attributes:
        classes: Class index, `UNCLASSIFIED` for none, (cell rows, cell columns).
        confidence: Its probability, NaN for none, (cell rows, cell columns).
        probabilities: Of all classes, (cell rows, cell columns, classes).
        valid: Which pixels under these cells are valid, (pixel rows, width).
    """

    classes: NDArray[np.uint16]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]


class Batcher:
    """Collects tiles into batches, classifies them and keeps the results by tile row.

    Args:
        classifier: The model.
        batch_size: Tiles per batch.
    """

    def __init__(self, classifier: TileClassifier, batch_size: int) -> None:
        self._classifier = classifier
        self._batch_size = batch_size
        self._waiting: list[tuple[int, Tile]] = []
        self._results: dict[int, list[tuple[int, float, NDArray[np.float32]]]] = {}
        self.classified = 0

    @property
    def waiting(self) -> int:
        """Tiles not yet classified."""
        return len(self._waiting)

    def push(self, row: int, tile: Tile) -> None:
        """Add a tile of a tile row; a full batch is classified at once."""
        self._waiting.append((row, tile))
        if len(self._waiting) == self._batch_size:
            self.flush()

    def flush(self) -> None:
        """Classify the tiles that wait.

        Raises:
            SceneError: The model returned something other than finite class probabilities.
        """
        if not self._waiting:
            return
        result = self._classifier.probabilities(np.stack([t.values for _, t in self._waiting]))
        expected = (len(self._waiting), len(self._classifier.classes))
        if result.shape != expected or not np.isfinite(result).all():
            raise SceneError(
                f"the model returned {list(result.shape)} probabilities, finite: "
                f"{bool(np.isfinite(result).all())}; allowed are {list(expected)} finite ones: "
                "check its weights and class list"
            )
        for (row, tile), probabilities in zip(self._waiting, result, strict=True):
            self._results.setdefault(row, []).append(
                (tile.column, tile.valid_fraction, probabilities)
            )
        self.classified += len(self._waiting)
        self._waiting = []

    def take(self, row: int) -> list[tuple[int, float, NDArray[np.float32]]]:
        """Hand over the results of a tile row: column, valid fraction, probabilities."""
        return self._results.pop(row, [])


@dataclass
class ScenePipeline:
    """Classifies an open scene from top to bottom.

    Attributes:
        scene: The open scene.
        indexes: Its bands, in the classifier's order.
        grid: The tile grid.
        classifier: The model.
        batch_size: Tiles given to the model at once, at most.
        progress: Called with the number of tiles done and the number of tiles.
        classified: Tiles that the model has seen so far.
    """

    scene: OpenScene
    indexes: Sequence[int | None]
    grid: TileGrid
    classifier: TileClassifier
    batch_size: int
    progress: Progress | None = None
    classified: int = 0

    def run(self) -> Iterator[ClassifiedRows]:
        """Classify; yields the scene's cell rows in order, without gaps."""
        batcher = Batcher(self.classifier, self.batch_size)
        blender = CellBlender(self.grid, len(self.classifier.classes))
        # Where a scene is narrow, several whole tile rows fill one batch.
        together = max(1, self.batch_size // self.grid.columns)
        for first in range(0, self.grid.rows, together):
            group = range(first, min(first + together, self.grid.rows))
            valid = [self._read_row(row, batcher) for row in group]
            batcher.flush()
            self.classified = batcher.classified
            self._report(group.stop * self.grid.columns)
            for row, closed in zip(group, valid, strict=True):
                for column, fraction, probabilities in batcher.take(row):
                    blender.add(column, probabilities, fraction)
                yield ClassifiedRows(*blender.close(row), closed)

    def _read_row(self, row: int, batcher: Batcher) -> NDArray[np.bool_]:
        """Feed a tile row to the batcher; returns the valid pixels of the rows it closes."""
        height = len(self.grid.closed_rows(row))
        valid = np.zeros((height, self.grid.width), dtype=np.bool_)
        # Not the whole width at once: wide scenes of many bands are larger than a batch.
        for first in range(0, self.grid.columns, self.batch_size):
            run = range(first, min(first + self.batch_size, self.grid.columns))
            tiles, own = read_tiles(self.scene, self.indexes, self.grid, row, run, self.classifier)
            left = first * self.grid.stride
            valid[:, left : left + own.shape[1]] = own[:height]
            for tile in tiles:
                batcher.push(row, tile)
            self._report(row * self.grid.columns + run.stop - batcher.waiting)
        return valid

    def _report(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.grid.rows * self.grid.columns)
