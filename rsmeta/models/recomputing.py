"""Activation checkpointing: blocks computed a second time on the way back, to save memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from timm.models.vision_transformer import VisionTransformer


@contextmanager
def whole_graph(model: VisionTransformer) -> Iterator[None]:
    """Keep all activations, also where the recipe checkpoints them.

    A model that is called with other tensors than its own (`torch.func.functional_call`) has its
    own back by the time that its blocks would be computed again.
    """
    checkpointed = model.grad_checkpointing
    model.set_grad_checkpointing(False)
    try:
        yield
    finally:
        model.set_grad_checkpointing(checkpointed)
