"""Where adapters sit: a site is a position inside a transformer block."""

from collections.abc import Sequence
from dataclasses import dataclass

from rsmeta.errors import RecipeError
from rsmeta.recipe import BlockSelection, Position


@dataclass(frozen=True, order=True)
class Site:
    """A position in a block; blocks are counted from the input, from 0."""

    block: int
    position: Position

    def __str__(self) -> str:
        return f"block {self.block} {self.position}"


@dataclass(frozen=True)
class PlannedSite:
    """One line of the plan: what is put where, and its number of trainable parameters."""

    site: Site
    method: str
    rank: int
    parameters: int


def select_blocks(selection: BlockSelection, depth: int) -> list[int]:
    """Resolve a selection of blocks.

    Args:
        selection: `all`, `last:N`, or a list of indexes.
        depth: Number of blocks of the backbone.

    Raises:
        RecipeError: The backbone has no such blocks.
    """
    if isinstance(selection, str):
        count = depth if selection == "all" else int(selection.removeprefix("last:"))
        chosen: Sequence[int] = range(depth - count, depth)
    else:
        chosen = sorted(selection)
    if not all(0 <= block < depth for block in chosen):
        raise RecipeError(
            [f"peft.blocks: {selection!r}: the backbone has {depth} blocks, 0 to {depth - 1}"]
        )
    return list(chosen)
