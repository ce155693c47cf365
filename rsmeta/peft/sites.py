"""Where adapters sit, and the parts of a backbone that other methods train."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from rsmeta.errors import RecipeError
from rsmeta.recipe import BlockSelection, BranchPosition, Position


@dataclass(frozen=True, order=True)
class Site:
    """A position in a block, with a modulator; blocks are counted from the input, from 0."""

    block: int
    position: Position | BranchPosition

    def __str__(self) -> str:
        return f"block {self.block} {self.position}"

    @classmethod
    def named(cls, block: int, position: str) -> "Site":
        """The site of a block and the name of a position.

        Raises:
            ValueError: There is no such position.
        """
        lora = position in list(Position)
        return cls(block, Position(position) if lora else BranchPosition(position))


@dataclass(frozen=True, order=True)
class BandSite:
    """The kernel of a band in the patch embedding, with a modulator; outside of the blocks."""

    band: str

    def __str__(self) -> str:
        return f"band {self.band}"

    @property
    def block(self) -> None:
        """None."""
        return None

    @property
    def position(self) -> str:
        """Name of the band."""
        return self.band


AnySite = Site | BandSite
"""What has a modulator."""


def named_site(block: int | None, position: str) -> AnySite:
    """The site of a row of a table: of a block and the name of a position, or of a band.

    Raises:
        ValueError: A block has no such position.
    """
    return BandSite(position) if block is None else Site.named(block, position)


class PartPosition(StrEnum):
    """What is trained without a modulator: tensors before, in or after the blocks."""

    MIXING = "mixing"
    EMBEDDING = "embedding"
    BLOCK = "block"
    PROMPTS = "prompts"
    OUTPUT = "output"


@dataclass(frozen=True)
class Part:
    """A part of a backbone, without a modulator.

    Attributes:
        block: Index of the block; None outside of the blocks.
        position: Which part.
    """

    block: int | None
    position: PartPosition

    def __str__(self) -> str:
        return str(self.position) if self.block is None else f"block {self.block} {self.position}"


@dataclass(frozen=True)
class PlannedSite:
    """One line of the plan: what is put where, and its number of trainable parameters.

    Attributes:
        site: A site has a modulator, a part has none.
        method: Name of the method.
        rank: Rank of an update or width of a bottleneck; 0 for a method that has neither.
        parameters: Trainable parameters, without the modulator.
    """

    site: AnySite | Part
    method: str
    rank: int
    parameters: int


def modulated_sites(plan: Sequence[PlannedSite]) -> list[AnySite]:
    """The sites of a plan that have a modulator, in order."""
    return [line.site for line in plan if not isinstance(line.site, Part)]


def block_sites(sites: Sequence[AnySite]) -> list[Site]:
    """Those of some sites that sit in a block, in order."""
    return [site for site in sites if isinstance(site, Site)]


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


def block_layer(model: VisionTransformer, block: int, path: str) -> nn.Module:
    """A layer of a block by its path, such as `attn.qkv`.

    Raises:
        RecipeError: The backbone's blocks are of a kind without such a layer.
    """
    try:
        layer: nn.Module = model.blocks[block].get_submodule(path)
    except AttributeError as error:
        kind = type(model.blocks[block]).__name__
        raise RecipeError(
            [
                f"peft.method: the backbone's blocks ({kind}) have no layer '{path}', which this "
                "method adapts; choose a method that fits any block: linear_probe, bitfit, "
                "layer_norm, ssf, vpt_shallow, vpt_deep, full or scratch"
            ]
        ) from error
    return layer
