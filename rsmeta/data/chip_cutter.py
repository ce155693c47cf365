"""Cutting chips out of scenes at labels, and where there are none."""

import logging
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from rsmeta.data.chip_tally import ChipTally
from rsmeta.data.chip_windows import chip_corners, kind_of, squares
from rsmeta.data.scene_chips import ChipWindow
from rsmeta.data.scene_rasters import SceneRaster, SceneReader
from rsmeta.data.vector_labels import VectorLabels
from rsmeta.recipe import LabelledSceneData

_LOGGER = logging.getLogger(__name__)

_CHOICE_STREAM, _BACKGROUND_STREAM = 41, 42
_OVER_EDGE = "chip over the edge of the scene"
_NO_DATA = "chip with too much nodata"


@dataclass(frozen=True)
class LabelledWindow:
    """A chip that has been found, and its class."""

    window: ChipWindow
    name: str


@dataclass(frozen=True)
class ChipCutter:
    """Finds the chips of one scene.

    Attributes:
        config: The recipe's section.
        number: Number of the scene.
        scene: The scene.
        size: Side of its chips in pixels.
        tally: Takes down where chips come from and which are left out.
    """

    config: LabelledSceneData
    number: int
    scene: SceneRaster
    size: int
    tally: ChipTally

    def label_chips(self, labels: VectorLabels, seed: int) -> Iterator[LabelledWindow]:
        """Chips of all labelled features."""
        features = enumerate(zip(labels.names, labels.geometries, strict=True))
        with self.scene.open() as reader:
            for index, (name, geometry) in features:
                self.tally.add_feature(name, kind_of(geometry))
                key = (seed, _CHOICE_STREAM, self.number, index)
                for window in self._feature(reader, name, geometry, key):
                    yield LabelledWindow(window, name)

    def _feature(
        self, reader: SceneReader, name: str, geometry: BaseGeometry, key: tuple[int, ...]
    ) -> Iterator[ChipWindow]:
        stride = self.size * (1 - self.config.overlap)
        corners = chip_corners(geometry, self.size, stride, self.config.minimum_cover)
        if len(corners) == 0:
            self.tally.leave_out("polygon that covers too little of a chip", 1, name)
        grid = self.scene.grid
        limit = np.array([grid.width, grid.height]) - self.size
        inside = ((corners >= 0) & (corners <= limit)).all(axis=1)
        self.tally.leave_out(_OVER_EDGE, int(np.count_nonzero(~inside)), name)
        most = self.config.most_chips
        corners = corners[inside]
        if most is not None:
            corners = np.random.default_rng(key).permutation(corners)
        found = 0
        for column, row in corners.tolist():
            if found == most:
                return
            window = ChipWindow(self.number, column, row, self.size)
            if not self.has_data(reader, window):
                self.tally.leave_out(_NO_DATA, 1, name)
                continue
            found += 1
            yield window

    def has_data(self, reader: SceneReader, window: ChipWindow) -> bool:
        """Whether enough of a window is valid."""
        values = reader.read(*window[1:])
        return bool(np.isnan(values[0]).mean() <= self.config.maximum_nodata)

    def unlabelled(self, labels: Sequence[VectorLabels]) -> list[ChipWindow]:
        """Squares side by side over the scene that touch no feature, with a class or without."""
        grid = self.scene.grid
        columns, rows = (
            np.arange(0, side - self.size + 1, self.size) for side in (grid.width, grid.height)
        )
        corners = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        features = shapely.STRtree(
            np.concatenate([part for found in labels for part in (found.geometries, found.others)])
        )
        taken = features.query(squares(corners, self.size), predicate="intersects")[0]
        free = np.delete(corners, taken, axis=0)
        return [ChipWindow(self.number, column, row, self.size) for column, row in free.tolist()]


def background_chips(
    config: LabelledSceneData,
    cutters: Sequence[ChipCutter],
    labels: Sequence[VectorLabels],
    seed: int,
) -> list[LabelledWindow]:
    """Draw chips that touch no label from all scenes; none where the recipe wants none."""
    if config.background is None:
        return []
    name, count = config.background.name, config.background.count
    # A raster may be there several times, with labels in several files.
    rasters: dict[Hashable, tuple[ChipCutter, list[VectorLabels]]] = {}
    for cutter, found in zip(cutters, labels, strict=True):
        rasters.setdefault(cutter.scene.files, (cutter, []))[1].append(found)
    free = [window for cutter, found in rasters.values() for window in cutter.unlabelled(found)]
    chips: list[LabelledWindow] = []
    for index in np.random.default_rng([seed, _BACKGROUND_STREAM]).permutation(len(free)):
        if len(chips) == count:
            break
        window = free[index]
        cutter = cutters[window.scene]
        with cutter.scene.open() as reader:  # one at a time: there may be more scenes than handles
            if cutter.has_data(reader, window):
                chips.append(LabelledWindow(window, name))
    if len(chips) < count:
        _LOGGER.warning("background: %d of %d chips found that touch no label", len(chips), count)
    return chips


def without_repeats(chips: Sequence[LabelledWindow], tally: ChipTally) -> list[LabelledWindow]:
    """Each window once; none where features of several classes claim the same one."""
    claims: dict[ChipWindow, set[str]] = {}
    for chip in chips:
        claims.setdefault(chip.window, set()).add(chip.name)
    kept: dict[ChipWindow, LabelledWindow] = {}
    for chip in chips:
        if len(claims[chip.window]) > 1:
            tally.leave_out("chip at the place of one of another class", 1, chip.name)
        elif chip.window in kept:
            tally.leave_out("chip at the place of another", 1, chip.name)
        else:
            kept[chip.window] = chip
    return list(kept.values())
