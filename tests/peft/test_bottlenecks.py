import pytest
import torch
from tiny_vits import bottleneck, images, plain_vit, randomise, vit

from rsmeta.peft.methods import adapt
from rsmeta.peft.sites import Site
from rsmeta.recipe import Adapter, AdaptFormer, BranchPosition


def adapted(config, **settings):
    model = vit(**settings)
    state = dict(model.state_dict())
    bank = adapt(config, model)
    model.double()
    bank.double()
    randomise(model)
    randomise(bank)
    gamma = dict(zip(bank.sites, torch.log1p(torch.exp(bank.rho)), strict=True))
    return model, bank, state, gamma


def assert_equal_with_gradients(model, bank, found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    trained = [p for p in [*model.parameters(), bank.rho] if p.requires_grad]
    weights = torch.randn_like(found)
    ours = torch.autograd.grad((found * weights).sum(), trained)
    theirs = torch.autograd.grad((expected * weights).sum(), trained)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("settings", [{}, {"init_values": 0.5}])
@pytest.mark.parametrize("positions", [["attn"], ["mlp"], ["attn", "mlp"]])
def test_an_adapter_follows_its_formula(positions, settings):
    model, bank, state, gamma = adapted(Adapter(positions=positions, rank=6), **settings)

    def branch(position, layer):
        def update(index, h):
            site = Site(index, position)
            module = getattr(model.blocks[index], layer)
            return h + bottleneck(module.bottleneck, gamma[site], h) if site in gamma else h

        return update

    expected = plain_vit(
        state,
        images(),
        attn=branch(BranchPosition.ATTN, "ls1"),
        mlp=branch(BranchPosition.MLP, "ls2"),
    )
    assert_equal_with_gradients(model, bank, model(images()), expected)


@pytest.mark.parametrize("settings", [{}, {"init_values": 0.5}])
@pytest.mark.parametrize("blocks", ["all", [1]])
def test_adaptformer_follows_its_formula(blocks, settings):
    model, bank, state, gamma = adapted(AdaptFormer(blocks=blocks, rank=6), **settings)

    def beside(index, x):
        site = Site(index, BranchPosition.MLP)
        if site not in gamma:
            return 0
        return bottleneck(model.blocks[index].mlp.bottleneck, gamma[site], x)

    expected = plain_vit(state, images(), beside=beside)
    assert_equal_with_gradients(model, bank, model(images()), expected)


def test_the_plain_vit_of_these_tests_is_that_of_timm():
    model = vit(init_values=0.5)
    expected = plain_vit(model.state_dict(), images())
    torch.testing.assert_close(model(images()), expected, rtol=1e-10, atol=1e-10)


def test_drop_path_drops_an_adapter_with_its_branch_but_not_an_adaptformer():
    def change(config):
        model = vit(drop_path_rate=0.5)
        model.blocks[1].drop_path1.drop_prob = model.blocks[1].drop_path2.drop_prob = 0.999
        model.train()
        torch.manual_seed(0)
        before = model(images())
        bank = adapt(config, model)
        model.double()
        bank.double()
        randomise(model)
        torch.manual_seed(0)
        return (model(images()) - before).abs().max()

    assert change(Adapter(blocks=[1])) == 0
    assert change(AdaptFormer(blocks=[1])) > 0.01
