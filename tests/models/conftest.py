import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

TINY = "test_vit"  # timm's smallest ViT: width 64, depth 6, patch 16
SIZE = 32


@pytest.fixture(scope="session")
def plain():
    """A plain timm ViT with random weights."""
    torch.manual_seed(0)
    model = timm.create_model(TINY, pretrained=False, num_classes=0, img_size=SIZE)
    with torch.no_grad():
        for parameter in model.parameters():  # no zeros, no ones: every tensor must arrive
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="session")
def stored(plain, tmp_path_factory):
    """The weights of the plain ViT as files, by suffix."""
    folder = tmp_path_factory.mktemp("weights")
    state = plain.state_dict()
    files = {name: folder / f"tiny{name}" for name in (".safetensors", ".pth", "_nested.pth")}
    save_file(state, files[".safetensors"])
    torch.save(state, files[".pth"])
    torch.save({"model": state, "epoch": 3}, files["_nested.pth"])
    return files


@pytest.fixture
def dinov2():
    """The real DINOv2 ViT-S/14, where it is."""
    folder = Path(os.environ.get("RSMETA_SHARED", "../shared"))
    path = folder / "backbones" / "vit_small_patch14_dinov2.safetensors"
    if not path.is_file():
        pytest.skip(f"no real weights at {path}; set RSMETA_SHARED to the folder that has them")
    return path
