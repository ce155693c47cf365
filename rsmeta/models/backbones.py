"""Pretrained vision transformers, made to read the bands of a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from rsmeta.bands import Band
from rsmeta.errors import BackboneError
from rsmeta.models.spectral import SpectralKernel, spectral_kernel
from rsmeta.models.weights import Weights, empty_model, load_weights
from rsmeta.recipe import Spectral

_PATCH_KERNEL = "patch_embed.proj.weight"


@dataclass(frozen=True)
class Backbone:
    """A frozen timm ViT without a head.

    Attributes:
        model: The ViT.
        sha256: Digest of the weights it was loaded from.
        spectral: Its patch-embedding kernel and what that was made of.
    """

    model: VisionTransformer
    sha256: str
    spectral: SpectralKernel


def build_backbone(
    name: str,
    file: Path | None,
    image_size: int,
    bands: Sequence[Band],
    spectral: Spectral | None = None,
    seed: int = 0,
) -> Backbone:
    """Load a pretrained ViT, frozen, for images of a size and bands.

    The position embedding is resampled to `image_size`; the patch embedding is mixed over bands.

    Args:
        name: `embedded`, `timm:ARCHITECTURE` or `torchgeo:WEIGHTS`.
        file: Local weights in timm's layout, instead of a download.
        image_size: Side of the input in pixels.
        bands: Bands of the input, in order.
        spectral: How the patch embedding comes to read them; None for the default.
        seed: Of the kernels drawn at random, where it has any.

    Raises:
        BackboneError: The weights cannot be had or do not fit the architecture.
    """
    weights = load_weights(name, file)
    model = empty_model(weights, image_size, len(bands))
    state = _state(model, weights, name)
    mode = (spectral or Spectral()).mode
    kernel = spectral_kernel(state[_PATCH_KERNEL], weights.bands, bands, mode, seed)
    _load(model, state | {_PATCH_KERNEL: kernel.kernel}, name)
    model.requires_grad_(False)
    return Backbone(model, weights.sha256, kernel)


def _state(model: VisionTransformer, weights: Weights, name: str) -> dict[str, Tensor]:
    """The weights in the layout of the model, but for the bands."""
    try:
        state = checkpoint_filter_fn(
            {key: value.float() for key, value in weights.state.items()}, model
        )
    except (LookupError, RuntimeError, ValueError) as error:
        raise BackboneError(f"the weights do not have the layout of '{name}': {error}") from error
    kernel = state.get(_PATCH_KERNEL)
    if not isinstance(kernel, Tensor) or kernel.ndim != 4:
        raise BackboneError(f"the weights for '{name}' have no patch embedding in timm's layout")
    if kernel.shape[1] != len(weights.bands):
        raise BackboneError(
            f"the weights for '{name}' read {kernel.shape[1]} bands; "
            f"{len(weights.bands)} were expected"
        )
    return dict(state)


def _load(model: VisionTransformer, state: dict[str, Tensor], name: str) -> None:
    state = {key: value for key, value in state.items() if not key.startswith("head.")}
    expected = model.state_dict()
    wrong = [k for k in expected if k not in state or state[k].shape != expected[k].shape]
    extra = [k for k in state if k not in expected]
    if wrong or extra:
        raise BackboneError(
            f"the weights do not fit '{name}': {len(wrong)} tensors missing or of another shape "
            f"(first: {wrong[:1]}), {len(extra)} unknown (first: {extra[:1]})"
        )
    with torch.no_grad():
        model.load_state_dict(state)
