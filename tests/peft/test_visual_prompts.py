import pytest
import torch
from tiny_vits import VARIANTS, WIDTH, images, plain_vit, vit

from rsmeta.peft.methods import adapt, plan
from rsmeta.peft.sites import Part, PartPosition
from rsmeta.peft.visual_prompts import InsertPrompts
from rsmeta.recipe import VptDeep, VptShallow

COUNT = 3


def adapted(config, **settings):
    model = vit(**settings)
    state = dict(model.state_dict())
    assert adapt(config, model) is None
    model.double()
    prompts = [m.prompts for m in model.modules() if isinstance(m, InsertPrompts)]
    return model, state, prompts


def with_prompts(prompts, x):
    return torch.cat([x[:, :1], prompts.expand(len(x), -1, -1), x[:, 1:]], dim=1)


def without_prompts(x):
    return torch.cat([x[:, :1], x[:, 1 + COUNT :]], dim=1)


def assert_equal_with_gradients(prompts, found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(found)
    ours = torch.autograd.grad((found * weights).sum(), prompts)
    theirs = torch.autograd.grad((expected * weights).sum(), prompts)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_shallow_prompts_follow_the_formula(depth):
    model, state, prompts = adapted(VptShallow(prompts=COUNT), depth=depth)
    assert len(prompts) == 1

    def enter(index, x):
        return with_prompts(prompts[0], x) if index == 0 else x

    assert_equal_with_gradients(prompts, model(images()), plain_vit(state, images(), enter=enter))


def test_deep_prompts_follow_the_formula():
    """As in the paper: the prompts of a block replace what the block before made of its own."""
    model, state, prompts = adapted(VptDeep(prompts=COUNT), depth=3)
    assert len(prompts) == 3

    def enter(index, x):
        return with_prompts(prompts[index], x if index == 0 else without_prompts(x))

    assert_equal_with_gradients(prompts, model(images()), plain_vit(state, images(), enter=enter))


def test_deep_prompts_of_some_blocks():
    model, state, prompts = adapted(VptDeep(prompts=COUNT, blocks="last:1"), depth=2)

    def enter(index, x):
        return with_prompts(prompts[0], x) if index == 1 else x

    assert_equal_with_gradients(prompts, model(images()), plain_vit(state, images(), enter=enter))
    lines = plan(VptDeep(prompts=COUNT, blocks="last:1"), vit())
    assert [line.site for line in lines] == [Part(1, PartPosition.PROMPTS)]


@pytest.mark.parametrize("config", [VptShallow(prompts=COUNT), VptDeep(prompts=COUNT)])
@pytest.mark.parametrize("variant", ["avg", "registers", "avg_without_class_token"])
def test_pooling_does_not_see_the_prompts(config, variant):
    model, _, _ = adapted(config, **VARIANTS[variant])
    tokens = model.forward_features(images())
    assert tokens.shape == (2, model.num_prefix_tokens + 4, WIDTH)
    pooled = (
        tokens[:, model.num_prefix_tokens :].mean(1) if model.global_pool == "avg" else tokens[:, 0]
    )
    torch.testing.assert_close(model(images()), model.fc_norm(pooled))


def test_prompts_stand_behind_class_and_register_tokens():
    insert = InsertPrompts(vit(reg_tokens=2), COUNT)
    tokens = torch.arange(7.0).view(1, 7, 1).expand(1, 7, WIDTH)
    found = insert(tokens)[0]
    torch.testing.assert_close(found[:3], tokens[0, :3])
    torch.testing.assert_close(found[3 : 3 + COUNT], insert.prompts)
    torch.testing.assert_close(found[3 + COUNT :], tokens[0, 3:])
    bound = (6 / (3 * 8 * 8 + WIDTH)) ** 0.5
    assert 0.5 * bound < insert.prompts.abs().max() <= bound
