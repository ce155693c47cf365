import pytest
import torch
from tiny_vits import WIDTH, images, noisy, plain_vit, randomise, vit

from rsmeta.peft.methods import adapt, plan
from rsmeta.peft.ssf import ScaledShifted
from rsmeta.recipe import BitFit, FullFineTuning, LayerNormTuning, ScaleShift, Scratch


def trained(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_bitfit_follows_its_formula():
    """A ViT whose biases, and nothing else, have moved."""
    model = vit()
    frozen = {key: value.clone() for key, value in model.state_dict().items()}
    adapt(BitFit(), model)
    assert trained(model) == {name for name in frozen if name.endswith(".bias")}
    randomise(model)
    moved = {name: dict(model.named_parameters())[name] for name in trained(model)}
    found, expected = model(images()), plain_vit(frozen | moved, images())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(found, plain_vit(frozen, images()))
    ours = torch.autograd.grad(found.square().sum(), list(moved.values()))
    theirs = torch.autograd.grad(expected.square().sum(), list(moved.values()))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("blocks", ["all", [1]])
def test_ssf_follows_its_formula(blocks):
    model = vit()
    state = dict(model.state_dict())
    adapt(ScaleShift(blocks=blocks), model)
    model.double()
    randomise(model)
    layers = {name: m for name, m in model.named_modules() if isinstance(m, ScaledShifted)}
    inside = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    chosen = range(2) if blocks == "all" else blocks
    expected_layers = {f"blocks.{block}.{name}" for block in chosen for name in inside} | {"norm"}
    assert set(layers) == expected_layers | ({"patch_embed.proj"} if blocks == "all" else set())

    def layer(name, y):
        if name not in layers:
            return y
        return y * layers[name].scale.flatten() + layers[name].shift.flatten()

    found, expected = model(images()), plain_vit(state, images(), layer=layer)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    tensors = [p for p in model.parameters() if p.requires_grad]
    ours = torch.autograd.grad(found.square().sum(), tensors)
    theirs = torch.autograd.grad(expected.square().sum(), tensors)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_a_scale_finer_than_bfloat16_is_not_lost():
    layer = ScaledShifted(torch.nn.LayerNorm(4)).requires_grad_(False)
    layer.scale.fill_(1.003)
    outputs = torch.linspace(1, 2, 1001).bfloat16().repeat(4, 1).T
    layer.base = torch.nn.Identity()
    assert layer(outputs).dtype == torch.bfloat16
    assert layer(outputs).float().mean() > outputs.float().mean()


def test_layer_norm_tuning_trains_every_normalisation():
    model = vit(qk_norm=True, pre_norm=True)
    adapt(LayerNormTuning(), model)
    inside = ["norm1", "norm2", "attn.q_norm", "attn.k_norm"]
    norms = [f"blocks.{block}.{name}" for block in range(2) for name in inside]
    norms += ["norm", "norm_pre"]
    assert trained(model) == {f"{norm}.{name}" for norm in norms for name in ("weight", "bias")}


@pytest.mark.parametrize(
    ("config", "tensors"),
    [
        (BitFit(blocks=[1]), {"blocks.1.mlp.fc1.bias", "norm.bias"}),
        (LayerNormTuning(blocks=[1]), {"blocks.1.norm1.weight", "norm.weight"}),
        (FullFineTuning(blocks=[1]), {"blocks.1.mlp.fc1.weight", "norm.weight"}),
    ],
)
def test_nothing_before_the_first_chosen_block_is_trained(config, tensors):
    model = vit()
    adapt(config, model)
    assert tensors <= trained(model)
    assert all(name.startswith(("blocks.1.", "norm.")) for name in trained(model))
    assert {str(line.site) for line in plan(config, vit())} == {"block 1 block", "output"}


def test_full_fine_tuning_trains_everything_and_changes_nothing_at_the_start():
    model = vit()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    adapt(FullFineTuning(), model)
    assert trained(model) == set(before)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_scratch_forgets_the_pretrained_weights():
    model = vit(init_values=0.25, qk_norm=True)
    before = {key: value.clone() for key, value in noisy(model).state_dict().items()}
    torch.manual_seed(7)
    adapt(Scratch(), model)
    state = model.state_dict()
    assert trained(model) == set(state)
    assert not any(torch.equal(value, before[key]) for key, value in state.items())
    assert torch.equal(state["norm.weight"], torch.ones(WIDTH).double())
    assert torch.equal(state["blocks.1.attn.qkv.bias"], torch.zeros(3 * WIDTH).double())
    assert torch.equal(state["blocks.1.ls1.gamma"], torch.full((WIDTH,), 0.25).double())
    assert state["blocks.0.mlp.fc1.weight"].std() == pytest.approx(0.02, rel=0.2)


def test_scratch_repeats_itself_for_a_seed():
    states = []
    for seed in (7, 7, 8):
        model = vit()
        torch.manual_seed(seed)
        adapt(Scratch(), model)
        states.append(model.state_dict()["blocks.0.attn.qkv.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
