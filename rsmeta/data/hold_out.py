"""Keeping a part of the training chips out, for choices that must not see the test chips."""

from dataclasses import replace

from rsmeta.data.chips import LabelledData, WrappedChips
from rsmeta.data.outer_split import OuterSplitter


def hold_out(data: LabelledData, fraction: float, seed: int) -> LabelledData:
    """Split the training chips in two; the second part takes the place of the test chips.

    Stratified as the outer split: classes with fewer than three chips are in both parts.

    Args:
        data: The chips; its test chips are not in the result.
        fraction: Share of each class that is held out, in (0, 1).
        seed: Seed of the draw.
    """
    parts = OuterSplitter(data.train.labels, fraction, "never", seed).split(0)
    return replace(
        data,
        train=WrappedChips(data.train, parts.inner),
        test=WrappedChips(data.train, parts.outer),
    )
