import argparse
from fractions import Fraction

import pytest
import torch
from safetensors.torch import save_file

from rsmeta.bands import sensor
from rsmeta.errors import BackboneError
from rsmeta.models.backbones import build_backbone

NAME, SIZE = "timm:test_vit", 32
RGB = sensor("rgb").bands


def satmae(plain, width=16):
    """A checkpoint with the tensors of SatMAE's RGB model around a small encoder."""
    tokens = plain.pos_embed.shape[1]
    decoder = {
        "mask_token": torch.ones(1, 1, width),
        "decoder_pos_embed": torch.ones(1, tokens, width),
        "decoder_embed.weight": torch.ones(width, plain.num_features),
        "decoder_embed.bias": torch.ones(width),
        "decoder_blocks.0.norm1.weight": torch.ones(width),
        "decoder_blocks.0.attn.qkv.weight": torch.ones(3 * width, width),
        "decoder_norm.weight": torch.ones(width),
        "decoder_pred.weight": torch.ones(768, width),
    }
    return {**plain.state_dict(), **decoder}


@pytest.fixture
def images():
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_satmaes_checkpoint_gives_its_encoder(plain, images, tmp_path):
    command_line = argparse.Namespace(model="mae_vit_large_patch16", lr=None, grouped_bands=[])
    content = {"model": satmae(plain), "optimizer": {"state": {}}, "epoch": 799}
    torch.save(content | {"args": command_line}, tmp_path / "fmow_pretrain.pth")
    built = build_backbone(NAME, tmp_path / "fmow_pretrain.pth", SIZE, RGB).model.eval()
    with torch.no_grad():
        assert torch.equal(built(images), plain(images))


def test_the_digest_is_that_of_the_encoder(plain, stored, tmp_path):
    save_file(satmae(plain), tmp_path / "satmae.safetensors")
    digests = {
        build_backbone(NAME, file, SIZE, RGB).sha256
        for file in (tmp_path / "satmae.safetensors", stored[".safetensors"])
    }
    assert len(digests) == 1


def test_satmaes_group_channel_model_is_refused_with_the_reason(plain, tmp_path):
    state = satmae(plain)
    kernel = state.pop("patch_embed.proj.weight")
    state |= {f"patch_embed.{group}.proj.weight": kernel.clone() for group in range(3)}
    save_file({**state, "channel_embed": torch.ones(1, 3, 16)}, tmp_path / "grouped.safetensors")
    with pytest.raises(BackboneError, match="embeds groups of bands on their own") as caught:
        build_backbone(NAME, tmp_path / "grouped.safetensors", SIZE, RGB)
    assert "\n" not in str(caught.value)


def test_objects_other_than_a_command_line_stay_refused(plain, tmp_path):
    content = {"model": plain.state_dict(), "args": Fraction(1, 2)}
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(BackboneError, match="holds more than tensors"):
        build_backbone(NAME, tmp_path / "odd.pth", SIZE, RGB)
