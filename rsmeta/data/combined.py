"""Chips of several sources as one set of labelled data."""

import logging
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from rsmeta.data.chips import ChipSet, LabelledData, WrappedChips

_LOGGER = logging.getLogger(__name__)

_TOUCHING = 0.01
"""Share of a chip that its neighbour may cover: footprints are reprojected."""


class JoinedChips(ChipSet):
    """The chips of several sets, one set after the other.

    Args:
        sets: The sets.
        labels: (chips,), int64, the labels of all chips.
    """

    def __init__(self, sets: Sequence[ChipSet], labels: NDArray[np.int64]) -> None:
        self._sets = tuple(sets)
        self._starts = np.cumsum([0, *(len(chips) for chips in sets)])
        self.labels = labels

    def _find(self, index: int) -> tuple[ChipSet, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sets[number], index - int(self._starts[number])

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        chips, place = self._find(index)
        return chips.read(place)

    def describe(self, index: int) -> str:
        """The chip's name in its own set."""
        chips, place = self._find(index)
        return chips.describe(place)

    def pixel_size(self, index: int) -> float | None:
        """The chip's pixel size in its own set."""
        chips, place = self._find(index)
        return chips.pixel_size(place)

    def footprints(self) -> gpd.GeoSeries | None:
        """Those of all sets, in one CRS; None where a set has none."""
        parts = [chips.footprints() for chips in self._sets if len(chips)]
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return None
        return pd.concat([part.to_crs(known[0].crs) for part in known], ignore_index=True)


def combine(parts: Sequence[LabelledData]) -> LabelledData:
    """Join labelled data of the same bands.

    Classes are those of the first part in its order, then what the others add. Training chips that
    overlap a test chip of another part on the ground are left out, and told of.

    Args:
        parts: One or more.
    """
    classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    outlines = [part.test.footprints() if len(part.test) else None for part in parts]
    train, lines = [], []
    for number, part in enumerate(parts):
        others = [o for i, o in enumerate(outlines) if i != number and o is not None]
        kept = _apart(part.train, others)
        if dropped := len(part.train) - len(kept):
            line = f"left out: {dropped} × training chip that overlaps a test chip of another part"
            _LOGGER.warning("combined data: part %d: %s", number, line)
            lines.append(line)
        train.append(WrappedChips(part.train, kept))
    return LabelledData(
        train=_joined(train, parts, classes),
        test=_joined([part.test for part in parts], parts, classes),
        classes=classes,
        bands=parts[0].bands,
        origin=(*(line for part in parts for line in part.origin), *lines),
        rejected=tuple(problem for part in parts for problem in part.rejected),
    )


def _joined(
    sets: Sequence[ChipSet], parts: Sequence[LabelledData], classes: tuple[str, ...]
) -> JoinedChips:
    labels = [
        np.array([classes.index(name) for name in part.classes], dtype=np.int64)[chips.labels]
        for chips, part in zip(sets, parts, strict=True)
    ]
    return JoinedChips(sets, np.concatenate(labels))


def _apart(train: ChipSet, tested: Sequence[gpd.GeoSeries]) -> NDArray[np.int64]:
    """Indexes of the training chips that overlap no test chip, as far as their place is known."""
    free = np.ones(len(train), dtype=np.bool_)
    own = train.footprints() if tested and len(train) else None
    if own is None:
        return np.flatnonzero(free)
    for outlines in tested:
        there = outlines.to_crs(own.crs).to_numpy()
        mine, other = shapely.STRtree(there).query(own.to_numpy(), predicate="intersects")
        chips = own.to_numpy()[mine]
        shared = shapely.area(shapely.intersection(chips, there[other]))
        free[mine[shared > _TOUCHING * shapely.area(chips)]] = False
    return np.flatnonzero(free)
