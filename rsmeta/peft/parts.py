"""The parts of a backbone: which part a tensor belongs to and which parts a recipe chooses."""

from collections.abc import Callable, Iterable
from itertools import groupby

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from rsmeta.peft.sites import Part, PartPosition, PlannedSite, select_blocks
from rsmeta.recipe import BlockSelection

_OUTPUT_MODULES = ("norm", "attn_pool", "fc_norm")


def part_of(name: str) -> Part | None:
    """The part that a parameter or module of a timm ViT belongs to; None for timm's head."""
    top, _, rest = name.partition(".")
    if top == "blocks":
        return Part(int(rest.partition(".")[0]), PartPosition.BLOCK)
    if top == "head":
        return None
    return Part(None, PartPosition.OUTPUT if top in _OUTPUT_MODULES else PartPosition.EMBEDDING)


def chosen_parts(selection: BlockSelection, depth: int) -> set[Part]:
    """The parts that a selection of blocks stands for.

    The output (final normalisation, attention pooling) always belongs to it; the embedding only
    if all blocks do, so that no gradient flows below the first chosen block.

    Raises:
        RecipeError: The backbone has no such blocks.
    """
    parts = {Part(block, PartPosition.BLOCK) for block in select_blocks(selection, depth)}
    parts.add(Part(None, PartPosition.OUTPUT))
    return parts | ({Part(None, PartPosition.EMBEDDING)} if selection == "all" else set())


def choose_parameters(
    model: VisionTransformer,
    selection: BlockSelection,
    keep: Callable[[str, nn.Module], bool] = lambda name, module: True,
) -> list[tuple[Part, nn.Parameter]]:
    """Parameters of the chosen parts, in the order of the network.

    Args:
        model: The backbone.
        selection: The chosen blocks.
        keep: Whether to take a parameter, by its own name and the module that holds it.
    """
    chosen = chosen_parts(selection, len(model.blocks))
    return [
        (part, parameter)
        for prefix, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if (part := part_of(f"{prefix}.{name}".removeprefix("."))) is not None
        and part in chosen
        and keep(name, module)
    ]


def plan_parts(method: str, tensors: Iterable[tuple[Part, int]]) -> list[PlannedSite]:
    """One line for each part, from the sizes of its tensors in the order of the network."""
    return [
        PlannedSite(part, method, 0, sum(size for _, size in group))
        for part, group in groupby(tensors, key=lambda entry: entry[0])
    ]


def unfreeze(chosen: Iterable[tuple[Part, nn.Parameter]]) -> None:
    """Let parameters of the backbone take part in training."""
    for _, parameter in chosen:
        parameter.requires_grad_(True)


def sizes(chosen: Iterable[tuple[Part, nn.Parameter]]) -> list[tuple[Part, int]]:
    """Numbers of elements of parameters."""
    return [(part, parameter.numel()) for part, parameter in chosen]


def is_normalisation(module: nn.Module) -> bool:
    """Whether a module is a LayerNorm or one of its kin (RMSNorm, timm's variants)."""
    return hasattr(module, "normalized_shape")
