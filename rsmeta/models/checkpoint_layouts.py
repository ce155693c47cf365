"""Checkpoints of masked autoencoders, such as SatMAE's, as state dicts of their encoder."""

from collections.abc import Mapping

from torch import Tensor

from rsmeta.errors import BackboneError

_DECODER = ("decoder_", "mask_token")


def encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder of a masked autoencoder (He et al. 2022); any other state dict as it is.

    The encoder's tensors have the names of timm's ViT. The decoder, which only pretraining needs,
    is left out. SatMAE (Cong et al. 2022) publishes three models: the RGB one has this layout.

    Args:
        state: The checkpoint's state dict.

    Raises:
        BackboneError: The weights are of SatMAE's group-channel model, which is no plain ViT.
    """
    if "channel_embed" in state:
        raise BackboneError(
            "the weights are of SatMAE's multispectral model, which embeds groups of bands on "
            "their own and is no plain ViT; use those of its RGB model (fmow_pretrain.pth)"
        )
    if not any(name.startswith("decoder_blocks.") for name in state):
        return dict(state)
    return {name: tensor for name, tensor in state.items() if not name.startswith(_DECODER)}
