"""From chip sets to labelled data: the long tail is drawn."""

from collections.abc import Sequence
from typing import Protocol

from rsmeta.bands import Band
from rsmeta.data.chips import ChipSet, LabelledData, WrappedChips
from rsmeta.data.long_tail_draw import draw_long_tail
from rsmeta.data.problems import ChipProblem


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
    config: LongTailOptions,
    train: ChipSet,
    test: ChipSet,
    classes: Sequence[str],
    seed: int,
    rejected: Sequence[ChipProblem] = (),
) -> LabelledData:
    """Draw the long tail that a recipe asks for.

    Args:
        config: The recipe's section.
        train: Training chips.
        test: Test chips.
        classes: Class names; labels are indexes into them.
        seed: Seed of the long tail.
        rejected: Chips that are in neither set.

    Raises:
        DataError: A class has too few training chips for the long tail.
    """
    if config.imbalance is not None and len(train):
        drawn = draw_long_tail(train.labels, config.imbalance, config.largest_class, seed)
        train = WrappedChips(train, drawn)
    bands = config.selected_bands
    return LabelledData(train, test, tuple(classes), bands, rejected=tuple(rejected))
