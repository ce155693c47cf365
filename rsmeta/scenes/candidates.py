"""The best tiles seen so far while a scene streams by: a bounded number of each class."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.informativeness import informativeness
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
        whole, parts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
        self.best = Candidates(whole, whole, whole, parts, parts)
        """The tiles kept, top to bottom and left to right."""

    def add(self, unit: UnitResult) -> None:
        """Consider the tiles of a unit that lie whole in the scene, nine tenths of them valid."""
        grid = self._grid
        bottom = unit.row * grid.stride + grid.tile
        right = unit.column * grid.stride + grid.tile
        inside = (bottom <= grid.height) & (right <= grid.width)
        usable = np.flatnonzero(inside & (unit.valid_fraction >= _LEAST_VALID))
        probabilities = unit.probabilities[usable]
        new = Candidates(
            unit.row[usable].astype(np.int64),
            unit.column[usable].astype(np.int64),
            probabilities.argmax(axis=1),
            probabilities.max(axis=1, initial=0.0).astype(np.float64),
            informativeness(probabilities, self._weights),
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
