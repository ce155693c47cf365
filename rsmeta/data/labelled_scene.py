"""Labelled scenes as data: chips cut from rasters at points, lines and polygons."""

import logging
from collections.abc import Sequence

import numpy as np

from rsmeta.data.chip_cutter import (
    ChipCutter,
    LabelledWindow,
    background_chips,
    without_repeats,
)
from rsmeta.data.chip_tally import ChipTally
from rsmeta.data.chips import LabelledData
from rsmeta.data.scene_chips import SceneChips, blocks_of, footprints
from rsmeta.data.scene_rasters import SceneRaster, describe_scene
from rsmeta.data.spatial_blocks import block_split, overlapping_pairs
from rsmeta.data.vector_labels import VectorLabels, read_labels
from rsmeta.errors import DataError
from rsmeta.recipe import LabelledSceneData

_LOGGER = logging.getLogger(__name__)

_MARGIN = 0.01  # pixels: chips that share an edge do not overlap


def load_labelled_scene(config: LabelledSceneData, seed: int) -> LabelledData:
    """Cut chips from labelled scenes and split them by blocks.

    Args:
        config: The recipe's section.
        seed: Seed of the choice among chips, of the background and of ties in the split.

    Raises:
        DataError: Scenes or labels cannot be used, or a class has no training chips.
    """
    tally = ChipTally()
    names = [band.name for band in config.selected_bands]
    scenes = [describe_scene(files.raster, names) for files in config.scenes]
    labels = [
        read_labels(
            files.labels,
            files.layer,
            files.class_column or config.class_column,
            config.classes,
            scene.grid,
            tally,
        )
        for files, scene in zip(config.scenes, scenes, strict=True)
    ]
    classes = _class_names(config, labels)
    cutters = [
        ChipCutter(config, number, scene, _chip_size(config, scene), tally)
        for number, scene in enumerate(scenes)
    ]
    chips = without_repeats(
        [
            chip
            for cutter, found in zip(cutters, labels, strict=True)
            for chip in cutter.label_chips(found, seed)
        ],
        tally,
    )
    chips += background_chips(config, cutters, labels, seed)
    return _split(config, scenes, chips, classes, tally, seed)


def _class_names(config: LabelledSceneData, labels: Sequence[VectorLabels]) -> tuple[str, ...]:
    present = sorted({name for found in labels for name in found.names})
    classes = list(config.classes or present)
    if config.background is not None:
        name = config.background.name
        if name in classes:
            raise DataError(
                f"data.background.name '{name}' is also a class of the labels; choose another"
            )
        classes.append(name)
    tested = any(scene.split == "blocks" for scene in config.scenes)
    if len(classes) < (2 if tested else 1):
        columns = {scene.class_column or config.class_column for scene in config.scenes}
        listed = "', '".join(sorted(columns))
        raise DataError(
            f"labels hold {len(classes)} class(es) [{', '.join(classes)}] in column "
            f"'{listed}': there is nothing to tell apart; label more classes or add "
            "data.background"
        )
    return tuple(classes)


def _chip_size(config: LabelledSceneData, scene: SceneRaster) -> int:
    """Side of a chip in pixels of a scene."""
    pixel = scene.grid.pixel_metres
    size = config.chip
    if size is None:
        assert config.chip_metres is not None  # the section has one of both
        size = round(config.chip_metres / pixel)
    name = scene.files[0][0]
    if size < 2:
        raise DataError(
            f"data.chip_metres {config.chip_metres:g} is less than two pixels of {pixel:.3g} m of "
            f"scene '{name}'; make it larger"
        )
    if size > min(scene.grid.height, scene.grid.width):
        raise DataError(
            f"chips of {size} pixels do not fit into scene '{name}' of {scene.grid.height} × "
            f"{scene.grid.width} pixels; make them smaller"
        )
    if size * pixel > config.block_metres:
        raise DataError(
            f"data.block_metres {config.block_metres:g} is smaller than a chip of {size} pixels "
            f"({size * pixel:.4g} m) of scene '{name}'; make blocks several chips large"
        )
    return size


def _split(
    config: LabelledSceneData,
    scenes: Sequence[SceneRaster],
    chips: Sequence[LabelledWindow],
    classes: tuple[str, ...],
    tally: ChipTally,
    seed: int,
) -> LabelledData:
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[chip.name] for chip in chips], dtype=np.int64)
    windows = [chip.window for chip in chips]
    if not chips:
        _check_classes(classes, [0] * len(classes), tally)
    blocks = blocks_of(scenes, windows, config.block_metres)
    pairs = overlapping_pairs(footprints(scenes, windows, _MARGIN).to_numpy())
    chosen = np.array([config.scenes[w.scene].split == "train" for w in windows], dtype=np.bool_)
    split = block_split(blocks, labels, pairs, config.test_fraction, seed, never_tested=chosen)
    for dropped in np.flatnonzero(~split.train & ~split.test).tolist():
        what = "chip of split: train in or over a block of test chips"
        overlapping = "training chip that overlaps a test chip"
        tally.leave_out(what if chosen[dropped] else overlapping, 1, chips[dropped].name)
    train, test = (
        SceneChips(scenes, [windows[i] for i in np.flatnonzero(part)], labels[part])
        for part in (split.train, split.test)
    )
    counts = [np.bincount(part.labels, minlength=len(classes)).tolist() for part in (train, test)]
    _check_classes(classes, counts[0], tally)
    if not len(test) and not chosen.all():
        raise DataError(
            f"no chips are left to test with: blocks of {config.block_metres:g} m cannot be "
            "shared out so that each class keeps training chips; make data.block_metres smaller"
        )
    _tell([] if chosen.all() else classes, [] if chosen.all() else counts[1], tally)
    return LabelledData(
        train, test, classes, config.selected_bands, tuple(tally.lines(classes, *counts))
    )


def _check_classes(classes: Sequence[str], counts: Sequence[int], tally: ChipTally) -> None:
    problems = []
    for name, count in zip(classes, counts, strict=True):
        if count:
            continue
        origin = tally.origin(name) or "no feature"
        left_out = tally.left_out(name)
        problems.append(
            f"class '{name}' has no training chips: {origin} in the scenes"
            + (f"; left out: {left_out}" if left_out else "")
            + "; label more of it, change data.chip, data.minimum_cover or data.block_metres, or "
            "leave it out by naming the others in data.classes"
        )
    if problems:
        raise DataError("\n".join(problems))


def _tell(classes: Sequence[str], tests: Sequence[int], tally: ChipTally) -> None:
    if left_out := tally.total_left_out():
        _LOGGER.warning("labelled scenes: left out: %s", left_out)
    if tally.repaired:
        _LOGGER.warning("labelled scenes: %d features of invalid geometry repaired", tally.repaired)
    untested = [name for name, count in zip(classes, tests, strict=True) if not count]
    if untested:
        _LOGGER.warning(
            "labelled scenes: no test chips of %s: all its chips lie in one block or beside it",
            ", ".join(untested),
        )
