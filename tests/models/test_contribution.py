import pytest
import torch
from tiny_classifiers import tiny_classifier
from tiny_vits import ADDITIVE, CONFIGS, bottleneck, images, plain_vit, randomise, vit

from rsmeta.models.contribution import contributions
from rsmeta.peft.lora import LoRALinear
from rsmeta.peft.sites import Site
from rsmeta.recipe import BranchPosition, Lora, Position

ROWS = {Position.Q: 0, Position.K: 1, Position.V: 2}


def trained(config, dtype=torch.float64, **settings):
    """A classifier away from its start, and the state of its backbone before it was adapted."""
    classifier = tiny_classifier(config, dtype, **settings)
    randomise(classifier)
    return classifier, vit(**settings).state_dict()


def batches(*counts):
    every = images(sum(counts)).split(list(counts))
    return [{"image": part, "label": torch.zeros(len(part), dtype=torch.int64)} for part in every]


def gammas(classifier):
    bank = classifier.modulators
    return dict(zip(bank.sites, torch.log1p(torch.exp(bank.rho.detach())), strict=True))


@pytest.mark.parametrize("positions", [list(Position), ["k", "v", "fc1"], ["q", "out", "fc2"]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lora_is_the_norm_of_the_dense_update_relative_to_the_rows_it_changes(positions, dtype):
    config = Lora(positions=positions, rank=2, alpha=3.0)
    classifier, state = trained(config, dtype)
    gamma = gammas(classifier)
    expected = {}
    for name, layer in classifier.backbone.named_modules():
        if not isinstance(layer, LoRALinear):
            continue
        base = state[f"{name}.weight"].to(dtype).double()
        held = [site for site in layer.sites if site is not None]
        for number, site in enumerate(held):
            down, up = layer.down.detach().double()[2 * number : 2 * number + 2], layer.up[number]
            update = gamma[site].double() * 1.5 * up.detach().double() @ down
            weight = base
            if site.position in ROWS:
                start = ROWS[site.position] * len(base) // 3
                weight = base[start : start + len(base) // 3]
            relative = update.square().sum().sqrt() / weight.square().sum().sqrt()
            expected[site] = float(relative)
    found = contributions(classifier, [])
    assert list(found) == list(classifier.modulators.sites)
    assert len(set(found.values())) == len(found) == 2 * len(positions)
    assert found == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("settings", [{}, {"init_values": 0.5}, {"drop_path_rate": 0.9}])
@pytest.mark.parametrize("method", ["adapter", "adaptformer"])
def test_a_bottleneck_is_measured_against_the_stream_that_its_branch_is_added_to(method, settings):
    classifier, state = trained(CONFIGS[method], **settings)
    gamma, blocks = gammas(classifier), classifier.backbone.blocks
    updates, streams = {}, {}

    def add(position, module, index, h):
        site = Site(index, position)
        updates[site] = bottleneck(module.bottleneck, gamma[site], h)
        return updates[site]

    def see_block(index, x):
        streams[Site(index, BranchPosition.ATTN)] = x
        return x

    def see_mlp(index, x):
        streams[Site(index, BranchPosition.MLP)] = x
        return add(BranchPosition.MLP, blocks[index].mlp, index, x) if former else 0

    def after_attention(index, h):
        return h if former else h + add(BranchPosition.ATTN, blocks[index].ls1, index, h)

    def after_mlp(index, h):
        return h if former else h + add(BranchPosition.MLP, blocks[index].ls2, index, h)

    former = method == "adaptformer"
    plain_vit(
        state, images(5), enter=see_block, beside=see_mlp, attn=after_attention, mlp=after_mlp
    )
    expected = {
        site: (updates[site].norm(dim=-1).mean() / streams[site].norm(dim=-1).mean()).item()
        for site in classifier.modulators.sites
    }
    found = contributions(classifier.train(), batches(2, 3))
    assert found == pytest.approx(expected, rel=1e-10)
    assert len(set(found.values())) == len(found) == (2 if former else 4)


@pytest.mark.parametrize("method", ADDITIVE)
def test_measuring_leaves_the_classifier_as_it_was(method):
    classifier, _ = trained(CONFIGS[method])
    before = classifier.features(images())
    state = torch.get_rng_state()
    first, second = (contributions(classifier.train(), batches(2)) for _ in range(2))
    assert first == second
    assert classifier.training and all(module.training for module in classifier.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(classifier.features(images()), before)
    assert not any(module._forward_hooks for module in classifier.modules())
    assert not any(module._forward_pre_hooks for module in classifier.modules())


@pytest.mark.parametrize("method", ADDITIVE)
def test_no_update_is_no_contribution_and_a_doubled_gamma_doubles_it(method):
    classifier, _ = trained(CONFIGS[method])
    bank = classifier.modulators
    before = contributions(classifier, batches(2))
    last = bank.sites[-1]  # nothing after it changes its own input
    doubled = 2 * bank.gamma()[-1].detach()
    bank.rho.data[-1] = doubled + torch.log(-torch.expm1(-doubled))
    after = contributions(classifier, batches(2))
    assert after[last] == pytest.approx(2 * before[last], rel=1e-6)
    bank.keep_only(bank.sites[:-1])
    assert list(contributions(classifier, batches(2))) == list(bank.sites[:-1])
    for name, parameter in classifier.named_parameters():
        if name.endswith(("up", "up.weight", "up.bias")):
            parameter.data.zero_()
    assert set(contributions(classifier, batches(2)).values()) == {0.0}


def test_a_method_without_modulators_has_no_contributions():
    classifier, _ = trained(CONFIGS["bitfit"])
    assert contributions(classifier, []) == {}
