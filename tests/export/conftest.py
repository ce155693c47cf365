import re

import pytest
import timm
import torch
from safetensors.torch import save_file

from rsmeta.data.statistics import BandStatistics
from rsmeta.model_card import ModelCard, current_versions
from rsmeta.models.classifier import build_classifier
from rsmeta.peft.sites import modulated_sites
from rsmeta.runs import write_model, write_recipe

TINY, SIZE = "test_vit", 32  # timm's smallest ViT: width 64, depth 6, patch 16
CLASSES = ("water", "quay, with ships", "forêt")


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Random weights of timm's smallest ViT, for RGB at another image size."""
    torch.manual_seed(0)
    model = timm.create_model(TINY, pretrained=False, num_classes=0, img_size=2 * SIZE)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture
def make_run(tiny_recipe, tiny_weights, tmp_path):
    """Makes run folders without training; all that trains is random."""

    def make(peft, kept=None, limits=None, **sections):
        backbone = {"name": f"timm:{TINY}", "file": tiny_weights, "image_size": SIZE}
        recipe = tiny_recipe(**{"peft": peft, "backbone": backbone} | sections)
        bands = recipe.data.selected_bands
        statistics = BandStatistics(mean=(-11.0, -18.0), std=(4.0, 6.0), limits=limits)
        torch.manual_seed(1)
        built = build_classifier(recipe, bands, len(CLASSES), statistics, kept)
        for tensor in built.classifier.trained_state().values():
            tensor.add_(0.1 * torch.randn_like(tensor))
        card = ModelCard(
            classes=CLASSES,
            bands=tuple(band.name for band in bands),
            statistics=statistics,
            tile_size=48,
            backbone=recipe.backbone.name,
            backbone_sha256=built.backbone_sha256,
            sites=tuple(modulated_sites(built.plan)),
            versions=current_versions(),
        )
        folder = tmp_path / f"run-{recipe.peft.method}"
        folder.mkdir()
        write_recipe(folder, recipe)
        write_model(folder, built.classifier, card)
        return folder

    return make


@pytest.fixture
def chips():
    """Makes chips (count, 2, size, size) in decibels."""

    def make(count=3, size=48):
        generator = torch.Generator().manual_seed(7)
        return torch.randn(count, 2, size, size, generator=generator) * 5 - 14

    return make


@pytest.fixture
def readme_logits(monkeypatch):
    """Executes the Python of an exported README in its folder; gives its function `logits`."""

    def execute(folder):
        (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
        monkeypatch.chdir(folder)
        names = {}
        exec(code, names)
        return torch.no_grad()(names["logits"])

    return execute
