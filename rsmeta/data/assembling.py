"""From chip sets to labelled data: the long tail is drawn, the classes are checked."""

from collections.abc import Sequence
from typing import Protocol

from rsmeta.bands import Band
from rsmeta.data.chips import ChipSet, LabelledData
from rsmeta.data.long_tail_draw import ChipSubset, draw_long_tail
from rsmeta.errors import DataError


class LongTailOptions(Protocol):
    """What a recipe's section of chips says about its bands and its long tail."""

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order."""

    @property
    def imbalance(self) -> float | None:
        """Largest class count over smallest; None for all chips."""

    @property
    def largest_class(self) -> int | None:
        """Chips of the most frequent class; None for as many as can be."""


def assemble(
    config: LongTailOptions, train: ChipSet, test: ChipSet, classes: Sequence[str], seed: int
) -> LabelledData:
    """Draw the long tail that a recipe asks for, and check that every class can be learned.

    Args:
        config: The recipe's section.
        train: Training chips.
        test: Test chips.
        classes: Class names; labels are indexes into them.
        seed: Seed of the long tail.

    Raises:
        DataError: A class has no or too few training chips, or there is only one.
    """
    if config.imbalance is not None:
        drawn = draw_long_tail(train.labels, config.imbalance, config.largest_class, seed)
        train = ChipSubset(train, drawn)
    data = LabelledData(train, test, tuple(classes), config.selected_bands)
    counts = data.train_counts.tolist()
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(f"classes without training chips: {', '.join(empty)} (data.classes)")
    if len(classes) < 2:
        raise DataError(f"only one class, '{classes[0]}': there is nothing to tell apart")
    return data
