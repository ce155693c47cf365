"""Band updates from training to the files of a run, and from there to merging and pruning."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from rsmeta.export import export_run
from rsmeta.finetuning import finetune
from rsmeta.peft.sites import BandSite
from rsmeta.pruning import KeepShare, prune_run
from rsmeta.runs import load_run

SHORT = {"epochs": 1, "batch_size": 8}
BACKBONE = {"spectral": {"update_rank": 2, "mixing": "trained"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A MetaPEFT run with band updates on simulated SAR (VV, VH)."""
    from rsmeta.recipe import Recipe

    recipe = Recipe.model_validate(
        {
            "name": "bands",
            "runs": tmp_path_factory.mktemp("bands") / "runs",
            "data": {
                "source": "simulator", "largest_class": 8, "imbalance": 4, "test_per_class": 2,
            },
            "augmentation": {"band_dropout": 0.2},
            "backbone": BACKBONE,
            "peft": {"method": "lora", "rank": 2, "blocks": "last:1"},
            "inner": SHORT,
            "outer": {"every": 2, "batch_size": 11, "learning_rate": 0.1},
        }
    )  # fmt: skip
    return finetune(recipe).folder


def chips():
    return torch.randn(3, 2, 64, 64, generator=torch.Generator().manual_seed(0)) * 5 - 15


def test_bands_are_in_every_table_of_a_run(run):
    table = pd.read_csv(run / "modulators.csv")
    bands = table[table["block"].isna()]
    assert bands["position"].tolist() == ["VV", "VH"]
    assert (bands["method"] == "band_update").all()
    assert (bands["contribution"] > 0).all() and np.isfinite(bands["contribution"]).all()
    assert ((bands["gamma"] - 1).abs() > 1e-4).all()  # learned in the outer loop
    plan = pd.read_csv(run / "plan.csv")
    assert plan["position"].tolist()[:3] == ["mixing", "VV", "VH"]
    metrics = json.loads((run / "metrics.json").read_text())
    others = metrics["trainable_parameters"] - plan["parameters"].sum()
    assert others == 11 * 192 + len(table)  # the head and the modulators
    history = pd.read_csv(run / "history.csv")
    assert history["sites"].iloc[-1] == len(table) == 8
    assert (run / "figures" / "bands.png").is_file()
    assert "band_update" in (run / "report.html").read_text()


def test_a_run_with_bands_loads_merges_and_exports(run, tmp_path):
    plain, merged = load_run(run), load_run(run, merged=True)
    assert plain.card.sites[:2] == (BandSite("VV"), BandSite("VH"))
    expected = plain.logits(chips())
    torch.testing.assert_close(merged.logits(chips()), expected, rtol=1e-5, atol=1e-5)
    export_run(run, "timm", tmp_path / "timm")
    stored = load_file(tmp_path / "timm" / "model.safetensors")["patch_embed.proj.weight"]
    kernel = plain.classifier.backbone.patch_embed.proj.weight
    torch.testing.assert_close(stored, kernel.detach())
    original = plain.classifier.backbone.patch_embed.proj.parametrizations.weight.original
    assert (stored - original).abs().max() > 1e-6


def test_a_peft_folder_holds_the_trained_kernel(run, tmp_path):
    pytest.importorskip("peft")
    export_run(run, "peft", tmp_path / "peft")
    state = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    (name,) = [key for key in state if key.endswith("patch_embed.proj.weight")]
    kernel = load_run(run).classifier.backbone.patch_embed.proj.weight.detach()
    torch.testing.assert_close(state[name], kernel)


def test_modulators_of_bands_can_be_taken_from_another_run(run, tiny_recipe):
    peft = {"method": "lora", "rank": 2, "blocks": "last:1", "modulators": "fixed"}
    peft |= {"gamma_from": {"file": run / "modulators.csv"}}
    again = finetune(tiny_recipe(peft=peft, backbone=BACKBONE, inner=SHORT)).folder
    gamma = [pd.read_csv(folder / "modulators.csv")["gamma"] for folder in (run, again)]
    np.testing.assert_allclose(gamma[0], gamma[1], rtol=1e-5)


def test_a_linear_probe_with_band_updates_keeps_them_at_1_and_can_be_pruned(tiny_recipe):
    backbone = {"spectral": {"mode": "matched", "update_rank": 2}}
    recipe = tiny_recipe(
        peft={"method": "linear_probe"},
        backbone=backbone,
        inner=SHORT,
        head={"initialisation": "random"},
    )
    parent = finetune(recipe).folder
    table = pd.read_csv(parent / "modulators.csv")
    assert table["position"].tolist() == ["VV", "VH"]
    assert table["gamma"].tolist() == pytest.approx([1, 1])
    assert load_run(parent).logits(chips()).std(dim=0).max() > 1e-4  # it came to see the image
    pruned = prune_run(parent, KeepShare(0.5)).folder
    assert load_run(pruned).card.sites == (BandSite("VV"),)
    facts = (pruned / "pruning.json").read_text()
    assert json.loads(facts)["dropped"][0]["position"] == "VH"
