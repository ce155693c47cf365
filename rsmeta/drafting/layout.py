"""The sizes of chips and blocks for a labelled scene, tried on the scene itself."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rsmeta.data.labelled_scene import load_labelled_scene
from rsmeta.errors import DataError
from rsmeta.recipe import LabelledSceneData

_SMALLEST_CHIP = 4
_BLOCKS_ACROSS = 16


@dataclass(frozen=True)
class Layout:
    """How a scene is cut and split.

    Attributes:
        chip: Side of a chip in pixels.
        block_metres: Side of a block of the split in metres.
        problem: Why a recipe with it is refused; empty where it is not.
    """

    chip: int
    block_metres: float
    problem: str = ""


def choose_layout(section: Mapping[str, Any], chip: int, metres: float, side: int) -> Layout:
    """The largest chips and blocks with which every class can be trained and tested.

    A scene of few chips may not divide into blocks of several: smaller blocks are tried then, and
    after them smaller chips.

    Args:
        section: The recipe's `data`, but for `chip` and `block_metres`.
        chip: Largest side of a chip in pixels.
        metres: Side of a pixel in metres.
        side: Larger side of the scene in pixels.

    Returns:
        The first that works; the first of all, with its problem, where none does.
    """
    refused = []
    for layout in _candidates(chip, metres, side):
        values = {**section, "chip": layout.chip, "block_metres": layout.block_metres}
        try:
            load_labelled_scene(LabelledSceneData.model_validate(values), seed=0)
        except DataError as error:
            refused.append(Layout(layout.chip, layout.block_metres, str(error).splitlines()[0]))
        else:
            return layout
    return refused[0]


def _candidates(chip: int, metres: float, side: int) -> Iterator[Layout]:
    while True:
        for chips in (max(4, side / chip / _BLOCKS_ACROSS), 2, 1):
            yield Layout(chip, _two_digits(chips * chip * metres))
        if chip // 2 < _SMALLEST_CHIP:
            return
        chip //= 2


def _two_digits(value: float) -> float:
    """The next number of two significant digits: never less, so that chips still fit."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")
