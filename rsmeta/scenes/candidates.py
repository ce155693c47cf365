"""The best tiles seen so far while a scene streams by: a bounded number of each class."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.informativeness import informativeness, mean_around
from rsmeta.scenes.work import UnitResult

_LEAST_VALID = 0.9
_LARGEST_POOL = 1024


@dataclass(frozen=True)
class Candidates:
    """Tiles of a scene that a label may be asked for.

    Attributes:
        row: Tile row of each; (tiles,).
        column: Tile column of each; (tiles,).
        label: Index of the likeliest class; (tiles,).
        confidence: Its probability; (tiles,).
        score: See `rsmeta.scenes.informativeness`; (tiles,).
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    label: NDArray[np.int64]
    confidence: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, indexes: NDArray[np.int64]) -> "Candidates":
        """Some of them, in the order given."""
        return Candidates(*(getattr(self, field.name)[indexes] for field in fields(self)))


class CandidatePool:
    """Keeps the tiles of highest score of each predicted class, about 1024 over all classes.

    A share for each class keeps one that is predicted everywhere from filling the pool.

    Args:
        grid: The scene's tile grid.
        weights: (classes,), see `rsmeta.scenes.informativeness.rarity`.
        count: Number of tiles that will be chosen: room for as many of one class at least.
    """

    def __init__(self, grid: TileGrid, weights: NDArray[np.float64], count: int) -> None:
        self._grid = grid
        self._weights = weights
        self._room = max(count, _LARGEST_POOL // len(weights))
        self._last = _Rows.empty(0, 0, grid.columns, len(weights))
        whole, parts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
        self.best = Candidates(whole, whole, whole, parts, parts)
        """The tiles kept, top to bottom and left to right."""

    def add(self, rows: range, unit: UnitResult) -> None:
        """Consider the tiles of a unit that lie whole in the scene, nine tenths of them valid.

        Units come from top to bottom. The tiles of the last row wait for those below.
        """
        found = self._last.with_unit(rows, unit)
        end = rows.stop == self._grid.rows
        first = self._last.probabilities.shape[0] - 1
        below = found.probabilities.shape[0] - (0 if end else 1)
        self._consider(found, range(max(first, 0), below))
        self._last = found.tail(2)

    def _consider(self, found: "_Rows", rows: range) -> None:
        """Take the best of some of the rows into the pool."""
        grid = self._grid
        row, column = (part.ravel() for part in np.mgrid[rows.start : rows.stop, : grid.columns])
        bottom = (found.first + row) * grid.stride + grid.tile
        right = column * grid.stride + grid.tile
        usable = (bottom <= grid.height) & (right <= grid.width)
        usable &= found.valid[row, column] >= _LEAST_VALID
        row, column = row[usable], column[usable]
        probabilities = found.probabilities[row, column]
        around = mean_around(found.probabilities)[row, column]
        new = Candidates(
            found.first + row,
            column,
            probabilities.argmax(axis=1),
            probabilities.max(axis=1, initial=0.0).astype(np.float64),
            informativeness(probabilities, self._weights, around),
        )
        both = Candidates(
            *(
                np.concatenate([getattr(part, field.name) for part in (self.best, new)])
                for field in fields(Candidates)
            )
        )
        self.best = both.take(self._kept(both))

    def _kept(self, tiles: Candidates) -> NDArray[np.int64]:
        """Indexes of the best of each class; of equal ones the upper left."""
        order = np.lexsort((tiles.column, tiles.row, -tiles.score))
        kept = [
            order[tiles.label[order] == label][: self._room] for label in np.unique(tiles.label)
        ]
        return np.sort(np.concatenate(kept)) if kept else order


@dataclass(frozen=True)
class _Rows:
    """Neighbouring tile rows.

    Attributes:
        first: The first tile row.
        probabilities: (rows, columns, classes), NaN where a tile was not classified.
        valid: Share of valid pixels, 0 where a tile was not classified, (rows, columns).
    """

    first: int
    probabilities: NDArray[np.float32]
    valid: NDArray[np.float64]

    @classmethod
    def empty(cls, first: int, rows: int, columns: int, classes: int) -> "_Rows":
        """Rows without a tile."""
        unknown = np.full((rows, columns, classes), np.nan, dtype=np.float32)
        return cls(first, unknown, np.zeros((rows, columns)))

    def with_unit(self, rows: range, unit: UnitResult) -> "_Rows":
        """These rows and those of a unit below."""
        new = self.empty(rows.start, len(rows), *self.probabilities.shape[1:])
        place = unit.row - rows.start, unit.column
        new.probabilities[place] = unit.probabilities
        new.valid[place] = unit.valid_fraction
        first = rows.start - len(self.valid)
        return _Rows(
            first,
            np.concatenate([self.probabilities, new.probabilities]),
            np.concatenate([self.valid, new.valid]),
        )

    def tail(self, rows: int) -> "_Rows":
        """The last rows."""
        first = self.first + max(0, len(self.valid) - rows)
        return _Rows(first, self.probabilities[-rows:], self.valid[-rows:])
