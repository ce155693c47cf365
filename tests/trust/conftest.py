import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from trust_examples import Tally


@pytest.fixture(scope="session")
def tally():
    """Counts examples; the counts are added to the JSON file that RSMETA_TRUST_COUNTS names."""
    found = Tally()
    yield found
    path = os.environ.get("RSMETA_TRUST_COUNTS")
    if path:
        found.add_to(Path(path))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Random weights of timm's small test ViTs, by the name of a backbone.

    Among them are ViTs with and without class token, registers, LayerScale, RMSNorm and attention
    pooling.
    """
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name in timm.list_models("test_vit*", module="vision_transformer"):
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False, num_classes=0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        files[f"timm:{name}"] = folder / f"{name}.safetensors"
        save_file(model.state_dict(), files[f"timm:{name}"])
    return files
