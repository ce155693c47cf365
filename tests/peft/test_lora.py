import itertools
import math

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional as F

from rsmeta.errors import RecipeError
from rsmeta.peft.lora import LoRALinear
from rsmeta.peft.methods import adapt, plan
from rsmeta.peft.modulators import ModulatorBank, inverse_softplus
from rsmeta.peft.sites import Site
from rsmeta.recipe import LinearProbe, Lora, Position

WIDTH, RANK = 12, 3


def vit(depth=2):
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=WIDTH, depth=depth, num_heads=2, num_classes=0
    )
    return model.double().requires_grad_(False)


def randomise(model, bank):
    generator = torch.Generator().manual_seed(1)
    for parameter in [*model.parameters(), bank.rho]:
        if parameter.requires_grad or parameter is bank.rho:
            parameter.data.normal_(generator=generator)


@pytest.mark.parametrize(
    "positions",
    [
        subset
        for count in (1, 2, 3)
        for subset in itertools.combinations([Position.Q, Position.K, Position.V], count)
    ],
)
def test_a_part_of_a_fused_layer_gets_exactly_its_own_update(positions):
    torch.manual_seed(0)
    base = torch.nn.Linear(WIDTH, 3 * WIDTH).double().requires_grad_(False)
    sites = [Site(0, p) if p in positions else None for p in (Position.Q, Position.K, Position.V)]
    start = [0.7] * len(positions)
    bank = ModulatorBank([s for s in sites if s is not None], start, learned=True).double()
    layer = LoRALinear(base, sites, RANK, 2.0, bank).double()
    torch.nn.init.normal_(layer.up)
    bank.rho.data = torch.randn(len(positions), dtype=torch.float64)
    x = torch.randn(4, 5, WIDTH, dtype=torch.float64)
    expected = base(x).unflatten(-1, (3, WIDTH)).clone()
    for number, position in enumerate(positions):
        part = "qkv".index(position.value)
        down = layer.down[number * RANK : (number + 1) * RANK]
        gamma = torch.log1p(torch.exp(bank.rho[number]))
        expected[..., part, :] += gamma * 2.0 * (x @ down.T @ layer.up[number].T)
    torch.testing.assert_close(layer(x), expected.flatten(-2), rtol=1e-12, atol=1e-12)
    merged = F.linear(x, base.weight + layer.update(), base.bias)
    torch.testing.assert_close(layer(x), merged, rtol=1e-12, atol=1e-12)


def test_updates_are_compared_with_the_weights_of_their_own_part():
    torch.manual_seed(0)
    base = torch.nn.Linear(WIDTH, 3 * WIDTH).double().requires_grad_(False)
    q, v = Site(0, Position.Q), Site(0, Position.V)
    bank = ModulatorBank([q, v], [0.7, 1.3], learned=True).double()
    layer = LoRALinear(base, [q, None, v], RANK, 2.0, bank).double()
    torch.nn.init.normal_(layer.up)
    updates, weights = layer.update().detach().split(WIDTH), base.weight.split(WIDTH)
    expected = {s: float(updates[i].norm() / weights[i].norm()) for s, i in ((q, 0), (v, 2))}
    assert layer.relative_updates() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("alpha", [None, 1.0, 16.0])
@pytest.mark.parametrize("rank", [1, 4])
def test_equals_hugging_face_peft_in_values_and_gradients(alpha, rank):
    peft = pytest.importorskip("peft")
    ours, theirs = vit(), vit()
    config = Lora(rank=rank, alpha=alpha, positions=["out", "fc1", "fc2"])
    bank = adapt(config, ours)
    ours.double()
    bank.double().rho.data.fill_(inverse_softplus(1.0))
    wrapped = peft.get_peft_model(
        theirs,
        peft.LoraConfig(
            r=rank,
            lora_alpha=alpha or rank,
            target_modules=["proj", "fc1", "fc2"],
            exclude_modules=["patch_embed.proj"],
        ),
    ).double()
    pairs = []
    for name, module in ours.named_modules():
        if isinstance(module, LoRALinear):
            torch.nn.init.normal_(module.up)
            other = theirs.get_submodule(name)
            other.lora_A["default"].weight.data = module.down.data.clone()
            other.lora_B["default"].weight.data = module.up.data[0].clone()
            pairs.append((module, other))
    assert len(pairs) == 2 * 3
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    left, right = ours(x), wrapped(x)
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)
    left.square().sum().backward()
    right.square().sum().backward()
    for module, other in pairs:
        down, up = other.lora_A["default"].weight.grad, other.lora_B["default"].weight.grad
        torch.testing.assert_close(module.down.grad, down, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(module.up.grad[0], up, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("scaling", "factor"), [("standard", 3.0), ("rank_stabilized", math.sqrt(3.0))]
)
def test_equals_hugging_face_peft_on_the_fused_qkv(scaling, factor):
    """Updates of q, k and v are one update of thrice the rank whose B is block-diagonal."""
    peft = pytest.importorskip("peft")
    ours, theirs = vit(), vit()
    config = Lora(rank=RANK, alpha=5.0, positions=["q", "k", "v"], scaling=scaling)
    bank = adapt(config, ours)
    ours.double()
    bank.double().rho.data.fill_(inverse_softplus(1.0))
    hugging_face = peft.LoraConfig(
        r=3 * RANK,
        lora_alpha=5.0 * factor,
        use_rslora=scaling == "rank_stabilized",
        target_modules=["qkv"],
    )
    wrapped = peft.get_peft_model(theirs, hugging_face).double()
    layers = {name: m for name, m in ours.named_modules() if isinstance(m, LoRALinear)}
    assert len(layers) == 2
    for name, layer in layers.items():
        torch.nn.init.normal_(layer.up)
        other = theirs.get_submodule(name)
        other.lora_A["default"].weight.data = layer.down.data.clone()
        other.lora_B["default"].weight.data = torch.block_diag(*layer.up.data)
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    left, right = ours(x), wrapped(x)
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)
    left.square().sum().backward()
    right.square().sum().backward()
    for name, layer in layers.items():
        other = theirs.get_submodule(name)
        down, up = other.lora_A["default"].weight.grad, other.lora_B["default"].weight.grad
        torch.testing.assert_close(layer.down.grad, down, rtol=1e-10, atol=1e-10)
        blocks = zip(up.split(WIDTH), range(3), strict=True)
        diagonal = [part[:, RANK * i : RANK * (i + 1)] for part, i in blocks]
        torch.testing.assert_close(layer.up.grad, torch.stack(diagonal), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("positions", [["q", "v"], list(Position), ["k", "fc2"]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_start_is_bit_identical_to_the_frozen_model(positions, dtype):
    model = vit().to(dtype)
    x = torch.randn(2, 3, 16, 16, dtype=dtype)
    before = model(x)
    adapt(Lora(positions=positions, rank=2), model)
    assert torch.equal(model.to(dtype)(x), before)


@pytest.mark.parametrize("rank", [1, 8])
def test_parameter_counts_match_the_closed_form(rank):
    model = vit()
    lines = plan(Lora(rank=rank), model)
    # q, k, v, out: 2 * D; fc1, fc2: D + 4 D
    per_block = rank * (4 * 2 * WIDTH + 2 * 5 * WIDTH)
    assert sum(line.parameters for line in lines) == 2 * per_block
    adapt(Lora(rank=rank), model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 2 * per_block


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [("all", [0, 1, 2, 3]), ("last:2", [2, 3]), ([3, 0], [0, 3])],
)
def test_only_the_selected_blocks_are_adapted(blocks, expected):
    lines = plan(Lora(blocks=blocks, positions=["q"]), vit(depth=4))
    assert [line.site for line in lines] == [Site(block, Position.Q) for block in expected]


@pytest.mark.parametrize("blocks", ["last:5", [4]])
def test_blocks_that_do_not_exist_are_refused(blocks):
    with pytest.raises(RecipeError, match="4 blocks, 0 to 3"):
        plan(Lora(blocks=blocks), vit(depth=4))


def test_each_modulator_scales_its_own_site_alone():
    model = vit()
    bank = adapt(Lora(rank=RANK), model)
    model.double()
    bank.double()
    randomise(model, bank)
    layers = [m for m in model.modules() if isinstance(m, LoRALinear)]
    before = [layer.update().detach() for layer in layers]
    site = Site(1, Position.K)
    index = bank.sites.index(site)
    gamma = bank.gamma()[index].item()
    bank.rho.data[index] = inverse_softplus(3 * gamma)
    for layer, old in zip(layers, before, strict=True):
        factor = torch.ones(old.shape[0], dtype=torch.float64)
        if site in layer.sites:
            factor[WIDTH : 2 * WIDTH] = 3
        torch.testing.assert_close(layer.update(), factor[:, None] * old, rtol=1e-10, atol=1e-12)


def test_a_linear_probe_leaves_the_backbone_alone():
    model = vit()
    names = [name for name, _ in model.named_modules()]
    assert adapt(LinearProbe(method="linear_probe"), model) is None
    assert [name for name, _ in model.named_modules()] == names
    assert not any(p.requires_grad for p in model.parameters())
