import copy
import json
from typing import get_args

import pandas as pd
import pytest
import timm
import torch
from pydantic import ValidationError
from timm.models.vision_transformer import Block, ParallelScalingBlock
from tiny_vits import (
    ADDITIVE,
    CONFIGS,
    UNCHANGED_AT_START,
    VARIANTS,
    Holder,
    architectures,
    images,
    randomise,
    registered_vit,
    vit,
)
from torch import nn

from rsmeta import recipe
from rsmeta.data.statistics import BandStatistics
from rsmeta.errors import RecipeError
from rsmeta.finetuning import finetune
from rsmeta.models.classifier import build_classifier
from rsmeta.peft.methods import METHODS, adapt, plan
from rsmeta.peft.sites import Site
from rsmeta.runs import load_run

EVERY = pytest.mark.parametrize("method", CONFIGS)


def test_every_method_of_a_recipe_is_registered_and_tested():
    sections = set(get_args(get_args(recipe.Peft)[0]))
    assert set(METHODS) == sections == {type(config) for config in CONFIGS.values()}
    assert all(config.method == name for name, config in CONFIGS.items())


@pytest.mark.parametrize(
    "section",
    [
        {"method": "lora", "positions": ["attn"]},
        {"method": "adapter", "positions": ["q"]},
        {"method": "adapter", "positions": ["mlp", "mlp"]},
        {"method": "adaptformer", "positions": ["attn"]},
        {"method": "bitfit", "rank": 4},
        {"method": "ssf", "modulators": "learned"},
        {"method": "vpt_shallow", "blocks": [1]},
        {"method": "vpt_deep", "prompts": 0},
        {"method": "scratch", "blocks": "last:1"},
    ],
)
def test_impossible_combinations_cannot_be_written(section, tiny_recipe):
    with pytest.raises(ValidationError, match="peft"):
        tiny_recipe(peft=section)


# --- what trains ----------------------------------------------------------------------------------


def assert_trains_what_is_planned(method, model):
    """Forward and backward; gradient reaches exactly the planned parameters, and frozen none."""
    config = CONFIGS[method]
    planned = sum(line.parameters for line in plan(config, model))
    holder = Holder(model, adapt(config, model)).double().train()
    trained = [p for p in holder.backbone.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == planned
    randomise(holder)  # at the start no gradient passes a B or an Up of zeros
    output = holder(images(4))
    assert output.isfinite().all()
    if holder.modulators is not None:
        trained.append(holder.modulators.rho)
    if not trained:
        assert not output.requires_grad
        return
    output.square().sum().backward()
    reached = {name for name, p in holder.named_parameters() if p.grad is not None}
    expected = {name for name, p in holder.named_parameters() if p.requires_grad}
    assert reached == expected
    assert len(reached) == len(trained)
    # Attention does not change if the same vector is added to all keys: this gradient is 0.
    zero = {n for n, p in holder.named_parameters() if p.grad is not None and not p.grad.any()}
    assert not [name for name in zero if "k_norm" not in name]


@EVERY
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_reaches_exactly_what_is_planned(method, variant):
    assert_trains_what_is_planned(method, vit(**VARIANTS[variant]))


@EVERY
def test_every_method_fits_the_vits_of_timm_or_says_why_not(method):
    """One tiny model for each structure that the registry's plain vision transformers have."""
    names = architectures()
    assert len(names) >= 10
    refused = []
    for name in names:
        model = registered_vit(name)
        kinds = {type(block) for block in model.blocks}
        try:
            assert_trains_what_is_planned(method, model)
        except RecipeError as error:
            assert method in ADDITIVE and "choose a method that fits any block" in str(error)
            assert kinds != {Block} or not hasattr(model.blocks[0].mlp, "fc1")
            refused.append(name)
    assert len(refused) < len(names) / 2


@pytest.mark.parametrize("method", ADDITIVE)
def test_a_block_of_another_kind_is_refused(method):
    with pytest.raises(RecipeError, match=r"ParallelScalingBlock\) have no layer") as caught:
        plan(CONFIGS[method], vit(block_fn=ParallelScalingBlock))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", UNCHANGED_AT_START)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_starts_at_the_frozen_model(method, variant, dtype):
    model = vit(**VARIANTS[variant]).to(dtype).eval()
    before = model(images(dtype=dtype))
    adapt(CONFIGS[method], model)
    model.eval()
    found = model.to(dtype)(images(dtype=dtype))
    if variant == "map":  # two calls of torch 2.5 and 2.6 differ there in their last bits
        torch.testing.assert_close(found, before, rtol=0, atol=8 * torch.finfo(dtype).eps)
    else:
        assert torch.equal(found, before)


D, L, R = 768, 12, 8
VIT_B_16 = {
    "lora": (recipe.Lora(rank=R), L * R * (4 * 2 * D + 2 * 5 * D)),
    "adapter": (recipe.Adapter(rank=R), 2 * L * (2 * D * R + R + 3 * D)),
    "adaptformer": (recipe.AdaptFormer(rank=R), L * (2 * D * R + R + 3 * D)),
    "linear_probe": (recipe.LinearProbe(), 0),
    "bitfit": (recipe.BitFit(), L * 11 * D + 2 * D),
    "layer_norm": (recipe.LayerNormTuning(), L * 4 * D + 2 * D),
    "ssf": (recipe.ScaleShift(), 2 * (L * 11 * D + 2 * D)),
    "vpt_shallow": (recipe.VptShallow(prompts=50), 50 * D),
    "vpt_deep": (recipe.VptDeep(prompts=50), L * 50 * D),
    "full": (recipe.FullFineTuning(), L * (12 * D**2 + 13 * D) + (768 + 1 + 1 + 197 + 2) * D),
    "scratch": (recipe.Scratch(), L * (12 * D**2 + 13 * D) + (768 + 1 + 1 + 197 + 2) * D),
}


@EVERY
def test_parameter_counts_of_vit_b_16_match_the_closed_form(method):
    config, expected = VIT_B_16[method]
    with torch.device("meta"):
        model = timm.create_model("vit_base_patch16_224", num_classes=0).requires_grad_(False)
        lines = plan(config, model)
        adapt(config, model)
    assert sum(line.parameters for line in lines) == expected
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
    assert all(line.method == method and line.parameters > 0 for line in lines)
    assert len({line.site for line in lines}) == len(lines)


@pytest.mark.parametrize("rank", [1, 4, 64])
def test_rank_stabilised_scaling(rank):
    assert recipe.Lora(rank=rank, alpha=16).scale == pytest.approx(16 / rank)
    assert recipe.Lora(rank=rank).scale == pytest.approx(1)
    stabilised = recipe.Lora(rank=rank, alpha=16, scaling="rank_stabilized")
    assert stabilised.scale == pytest.approx(16 / rank**0.5)


# --- how it behaves as a module -------------------------------------------------------------------


@EVERY
def test_functional_call_puts_other_tensors_in_place(method):
    holder = adapted_holder(method)
    names = [name for name, p in holder.named_parameters() if p.requires_grad]
    other = {name: 1.5 * holder.get_parameter(name).detach() + 0.1 for name in names}
    before = holder(images())
    found = torch.func.functional_call(holder, other, (images(),))
    assert torch.equal(holder(images()), before)
    for name, value in other.items():
        holder.get_parameter(name).data = value
    assert torch.equal(holder(images()), found)
    assert not names or not torch.equal(found, before)


@EVERY
def test_a_deep_copy_is_independent(method):
    holder = adapted_holder(method)
    before = holder(images())
    copied = copy.deepcopy(holder)
    assert torch.equal(copied(images()), before)
    for parameter in copied.parameters():
        parameter.data.mul_(2)
    assert torch.equal(holder(images()), before)
    if copied.modulators is not None:
        middle = copied(images())
        copied.modulators.rho.data.add_(1)
        assert not torch.equal(copied(images()), middle)


def adapted_holder(method):
    model = vit(init_values=0.5)
    holder = Holder(model, adapt(CONFIGS[method], model)).double()
    randomise(holder)
    return holder


# --- in bfloat16 ----------------------------------------------------------------------------------


def low_classifier(tiny_recipe, config):
    statistics = BandStatistics(mean=(0.0, 0.0), std=(1.0, 1.0))
    section = tiny_recipe(peft=config.model_dump(), compute={"precision": "bfloat16"})
    built = build_classifier(section, section.data.selected_bands, 3, statistics)
    built.classifier.store_frozen_low()
    return built.classifier


@EVERY
def test_what_trains_is_float32_where_what_is_frozen_is_bfloat16(method, tiny_recipe):
    classifier = low_classifier(tiny_recipe, CONFIGS[method])
    classifier(torch.randn(2, 2, 32, 32)).square().sum().backward()
    for parameter in classifier.parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32
            assert parameter.grad is not None
            assert parameter.grad.isfinite().all()
    for layer in classifier.backbone.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and not layer.weight.requires_grad:
            assert layer.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("method", [*ADDITIVE, "bitfit", "layer_norm", "ssf"])
def test_training_starts_at_the_frozen_model_in_bfloat16(method, tiny_recipe):
    chips = torch.randn(2, 2, 32, 32)
    frozen = low_classifier(tiny_recipe, CONFIGS["linear_probe"])
    adapted = low_classifier(tiny_recipe, CONFIGS[method])
    assert torch.equal(adapted.features(chips), frozen.features(chips))


# --- a whole run ----------------------------------------------------------------------------------


@EVERY
def test_a_run_trains_saves_and_loads(method, tiny_recipe, monkeypatch):
    built, starts = [], []

    def build_and_keep(*arguments):
        built.append(build_classifier(*arguments))
        state = built[-1].classifier.trained_state()
        starts.append({name: tensor.clone() for name, tensor in state.items()})
        return built[-1]

    monkeypatch.setattr("rsmeta.finetuning.build_classifier", build_and_keep)
    config = CONFIGS[method]
    short = {"epochs": 1, "batch_size": 8}
    folder = finetune(tiny_recipe(peft=config.model_dump(), inner=short)).folder
    (model,) = built
    chips = torch.randn(2, 2, 32, 32)
    loaded = load_run(folder)
    trained = loaded.classifier.trained_state()
    assert not any(torch.equal(trained[name], start) for name, start in starts[0].items())
    with torch.inference_mode():
        expected = model.classifier.eval()(chips)
    assert torch.equal(loaded.logits(chips), expected)
    table = pd.read_csv(folder / "modulators.csv")
    sites = [line for line in model.plan if isinstance(line.site, Site)]
    assert len(table) == len(sites)
    assert (method in ADDITIVE) == bool(sites)
    facts = json.loads((folder / "metrics.json").read_text())
    weights = sum(line.parameters for line in model.plan)
    head, modulators = 11 * 192, len(sites)
    assert facts["trainable_parameters"] == weights + head + modulators
    frozen = low_classifier(tiny_recipe, CONFIGS["linear_probe"]).backbone
    assert facts["backbone_parameters"] == sum(p.numel() for p in frozen.parameters())
