"""One look at every chip before training: what cannot be used, and the statistics of the rest."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsmeta.class_names import name_problems
from rsmeta.data.band_checks import band_problems
from rsmeta.data.chips import ChipSet, LabelledData, WrappedChips
from rsmeta.data.problems import ChipProblem, Split
from rsmeta.data.sources import load_data
from rsmeta.data.statistics import (
    BandAccumulator,
    BandStatistics,
    BandSummary,
    Limits,
    band_statistics,
)
from rsmeta.errors import DataError
from rsmeta.recipe import Clip, OnError, Recipe

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class InspectedData:
    """Chips that have been read once.

    Attributes:
        data: The chips that can be used.
        bands: What the training chips hold, band by band.
        statistics: Statistics that normalise the bands.
        skipped: The chips that were left out.
    """

    data: LabelledData
    bands: tuple[BandSummary, ...]
    statistics: BandStatistics
    skipped: tuple[ChipProblem, ...]


def load_inspected(recipe: Recipe) -> InspectedData:
    """Load the chips a recipe names and inspect them as it says.

    Raises:
        DataError: See `inspect_data`; or files, columns or classes are missing.
    """
    return inspect_data(load_data(recipe), recipe.data.clip, recipe.data.on_error)


def inspect_data(data: LabelledData, clip: Clip, on_error: OnError) -> InspectedData:
    """Read every chip once: find those that cannot be used, and the statistics of the others.

    A chip cannot be used if it cannot be read, has another number of bands, no valid pixel, a label
    that is not in the class list, or (of a test chip) the same size and pixels as a training chip.

    Args:
        data: The chips.
        clip: What to clip values to before normalising.
        on_error: Whether to stop at chips that cannot be used, or to go on without them. Wrong
            classes and bands always stop.

    Raises:
        DataError: One line for each chip, class and band with a problem.
    """
    accumulator = BandAccumulator(data.bands)
    names: dict[bytes, str] = {}

    def count_in(chip: NDArray[np.float32], name: str) -> None:
        accumulator.add(chip)
        names.setdefault(_digest(chip), name)

    def compare(chip: NDArray[np.float32], name: str) -> None:
        same = names.get(_digest(chip))
        if same is not None:
            raise DataError(
                f"test chip '{name}' has the very pixels of training chip '{same}'; leave one out"
            )

    train, train_problems = _examine(data.train, "train", data, count_in)
    test, test_problems = _examine(data.test, "test", data, compare)
    problems = (*data.rejected, *train_problems, *test_problems)
    if on_error == "skip":
        data = replace(
            data, train=_only(data.train, train), test=_only(data.test, test), rejected=()
        )
    bands = accumulator.summaries() if train else ()
    lines = [problem.reason for problem in problems] if on_error == "stop" else []
    lines += _class_problems(data)
    lines += band_problems(bands)
    if lines:
        raise DataError("\n".join(lines))
    if problems:
        _LOGGER.warning(
            "%d chips cannot be used and are skipped (data.on_error: skip)", len(problems)
        )
    return InspectedData(data, bands, _statistics(data, bands, clip), problems)


def _examine(
    chips: ChipSet,
    split: Split,
    data: LabelledData,
    use: Callable[[NDArray[np.float32], str], None],
) -> tuple[list[int], list[ChipProblem]]:
    """Read chips; returns which of them `use` has taken, and what is wrong with the others."""
    taken, problems = [], []
    for index in range(len(chips)):
        name = chips.describe(index)
        try:
            chip = chips.read(index)
            _check(chip, name, len(data.bands))
            use(chip, name)
        except DataError as error:
            label = data.classes[int(chips.labels[index])]
            problems.append(ChipProblem(name, split, label, str(error)))
        else:
            taken.append(index)
    return taken, problems


def _check(chip: NDArray[np.float32], name: str, bands: int) -> None:
    if len(chip) != bands:
        raise DataError(f"chip '{name}' has {len(chip)} bands; the recipe names {bands}")
    if not np.isfinite(chip).any():
        raise DataError(f"chip '{name}' has no valid pixel")


def _digest(chip: NDArray[np.float32]) -> bytes:
    """SHA-256 of the size and the pixels: it finds copies of a file, whatever their format."""
    content = hashlib.sha256(str(chip.shape).encode())
    content.update(chip.tobytes())
    return content.digest()


def _only(chips: ChipSet, kept: Sequence[int]) -> ChipSet:
    if len(kept) == len(chips):
        return chips
    return WrappedChips(chips, np.array(kept, dtype=np.int64))


def _class_problems(data: LabelledData) -> list[str]:
    counts = zip(data.classes, data.train_counts.tolist(), strict=True)
    problems = [
        f"class '{name}' has no training chips that can be used; leave it out of data.classes"
        for name, count in counts
        if count == 0
    ]
    problems += name_problems(data.classes)
    if len(data.classes) == 1:
        problems.append(f"only one class, '{data.classes[0]}': there is nothing to tell apart")
    if len(data.test) == 0:
        problems.append("no test chip can be used; check the labels and files of the test chips")
    return problems


def _statistics(data: LabelledData, bands: Sequence[BandSummary], clip: Clip) -> BandStatistics:
    if clip == "percentiles":
        limits = Limits(tuple(band.low for band in bands), tuple(band.high for band in bands))
        return band_statistics(data.train, data.bands, limits)
    return BandStatistics(tuple(band.mean for band in bands), tuple(band.std for band in bands))
