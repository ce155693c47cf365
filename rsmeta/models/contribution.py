"""How much each site contributes: the size of its update, relative to what it is added to.

A site of LoRA changes a weight: ||gamma * scale * B A|| / ||W||, Frobenius norms, W being the rows
of the frozen weight that the site adapts. This needs no data. A band likewise: ||gamma * U V|| over
the norm of the band's kernel without it, or of a pretrained band's where that is zero.

A site of Adapter or AdaptFormer adds to tokens: the mean of ||gamma * Up(...)|| over all tokens of
all chips, divided by the mean of ||x|| over the same tokens, Euclidean norms over the features. For
both methods and both branches x is the residual stream that the site's branch reads and that its
output is added to: the input of the block's first normalisation for attention, of its second for
the MLP. (An adapter's own input, the output of a branch, would make adapters behind weak branches
look strong.) Drop-path is off while this is measured.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rsmeta.data.datamodule import Batch
from rsmeta.models.classifier import ChipClassifier
from rsmeta.peft.norms import norm_sum, relative_norm
from rsmeta.peft.sites import AnySite, Site
from rsmeta.recipe import BranchPosition

_BRANCH_INPUTS = {BranchPosition.ATTN: "norm1", BranchPosition.MLP: "norm2"}
"""The first layer of each branch of a timm block: it reads the residual stream."""


@runtime_checkable
class WeightUpdates(Protocol):
    """An adapter module whose sites change a frozen weight."""

    def relative_updates(self) -> dict[AnySite, float]:
        """Norm of each site's weight update, relative to that of the weight it changes."""
        ...


@runtime_checkable
class TokenUpdate(Protocol):
    """An adapter module whose output is added to the tokens of one branch.

    Attributes:
        site: The block and the branch.
    """

    site: Site


def contributions(
    classifier: ChipClassifier, batches: Iterable[Batch], from_tokens: bool = False
) -> dict[AnySite, float]:
    """The contribution of each site that is left, see the module; 0 where the update is zero.

    The classifier's outputs, weights and mode stay as they were.

    Args:
        classifier: The model.
        batches: Chips to measure the updates of tokens on; not read by methods that change
            weights alone.
        from_tokens: Whether the batches hold tokens, see `ChipDataModule.keep_tokens`.

    Returns:
        Contributions in the order of the sites; none for a method without modulators.
    """
    if classifier.modulators is None:
        return {}
    modules = list(classifier.backbone.modules())
    found: dict[AnySite, float] = {}
    with torch.no_grad():
        for module in modules:
            if isinstance(module, WeightUpdates):
                found |= module.relative_updates()
        token_updates = [module for module in modules if isinstance(module, TokenUpdate)]
        if token_updates:
            found |= _relative_token_updates(classifier, token_updates, batches, from_tokens)
    return {site: found[site] for site in classifier.modulators.left}


def _relative_token_updates(
    classifier: ChipClassifier,
    updates: Iterable[TokenUpdate],
    batches: Iterable[Batch],
    from_tokens: bool,
) -> dict[AnySite, float]:
    """Run the batches through the backbone and add up the norms of updates and streams."""
    update_norms: dict[Site, float] = defaultdict(float)
    stream_norms: dict[Site, float] = defaultdict(float)
    handles = []
    for update in updates:
        assert isinstance(update, nn.Module)
        position = BranchPosition(update.site.position)
        reader = getattr(classifier.backbone.blocks[update.site.block], _BRANCH_INPUTS[position])
        handles.append(update.register_forward_hook(_add_output(update_norms, update.site)))
        handles.append(reader.register_forward_pre_hook(_add_input(stream_norms, update.site)))
    training = classifier.training
    classifier.eval()
    try:
        device = next(classifier.parameters()).device
        for batch in batches:
            classifier(batch["image"].to(device), from_tokens)
    finally:
        classifier.train(training)
        for handle in handles:
            handle.remove()
    return {site: relative_norm(norm, stream_norms[site]) for site, norm in update_norms.items()}


def _add_output(norms: dict[Site, float], site: Site) -> Callable[[Any, Any, Tensor], None]:
    def hook(module: Any, arguments: Any, output: Tensor) -> None:
        norms[site] += norm_sum(output)

    return hook


def _add_input(norms: dict[Site, float], site: Site) -> Callable[[Any, tuple[Tensor]], None]:
    def hook(module: Any, arguments: tuple[Tensor]) -> None:
        norms[site] += norm_sum(arguments[0])

    return hook
