"""The inner optimiser as a function, against torch's own, with settings unlike the defaults."""

import pytest
import torch

from rsmeta.meta.inner_optimiser import DifferentiableOptimiser, build_inner_optimiser, snapshot
from rsmeta.meta.problem import InnerState, InnerStep, Trajectory
from rsmeta.recipe import InnerLoop

ADAMW = {"name": "adamw", "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-3}
LOOPS = {
    "sgd": InnerLoop(learning_rate=0.3, weight_decay=0.1, optimiser={"momentum": 0.6}),
    "adamw": InnerLoop(learning_rate=0.3, weight_decay=0.1, optimiser=ADAMW),
}
BOTH = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)


def tensors(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, generator=generator, dtype=torch.float64) for n in (3, 2)]


def parameters():
    return [torch.nn.Parameter(p) for p in tensors(0)]


def step(optimiser, gradients):
    for group in optimiser.param_groups:
        for parameter, gradient in zip(group["params"], gradients, strict=True):
            parameter.grad = gradient.clone()
    optimiser.step()


def by_hand(loop, gradients):
    """Parameters after steps along gradients, from the formulas in the documentation of torch."""
    values, how = tensors(0), loop.optimiser
    first, second = ([torch.zeros_like(v) for v in values] for _ in range(2))
    rate, decay = loop.learning_rate, loop.weight_decay
    for count, found in enumerate(gradients, 1):
        for i, gradient in enumerate(found):
            if how.name == "sgd":
                first[i] = how.momentum * first[i] + gradient + decay * values[i]
                values[i] = values[i] - rate * first[i]
                continue
            first[i] = how.beta1 * first[i] + (1 - how.beta1) * gradient
            second[i] = how.beta2 * second[i] + (1 - how.beta2) * gradient**2
            mean, square = first[i] / (1 - how.beta1**count), second[i] / (1 - how.beta2**count)
            step = mean / (square.sqrt() + how.epsilon)
            values[i] = values[i] - rate * (decay * values[i] + step)
    return values


@BOTH
def test_the_settings_are_those_of_the_recipe(loop):
    trained = parameters()
    optimiser = build_inner_optimiser(loop, trained)
    gradients = [tensors(seed) for seed in (1, 2, 3)]
    for found in gradients:
        step(optimiser, found)
    torch.testing.assert_close([p.detach() for p in trained], by_hand(loop, gradients))


@BOTH
def test_a_step_as_a_function_is_that_of_torch_from_any_state(loop):
    trained = parameters()
    optimiser = build_inner_optimiser(loop, trained)
    for seed in (1, 2, 3):
        optimiser.param_groups[0]["lr"] = rate = 0.1 * seed
        state = snapshot(loop, optimiser, trained)
        moved, moments = DifferentiableOptimiser(loop).step(state, tensors(seed), rate)
        step(optimiser, tensors(seed))
        after = snapshot(loop, optimiser, trained)
        assert after.count == state.count + 1 == seed or loop.optimiser.name == "sgd"
        torch.testing.assert_close(moved, after.parameters, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(moments, after.moments, rtol=1e-9, atol=1e-12)


@BOTH
def test_snapshots_are_copies(loop):
    trained = parameters()
    optimiser = build_inner_optimiser(loop, trained)
    start = snapshot(loop, optimiser, trained)
    assert start.count == 0
    assert all(not m.any() for part in start.moments for m in part)
    step(optimiser, tensors(1))
    before = snapshot(loop, optimiser, trained)
    assert all(m.any() for part in before.moments for m in part)
    kept = [tensor.clone() for part in (before.parameters, *before.moments) for tensor in part]
    step(optimiser, tensors(2))
    torch.testing.assert_close(start.parameters, tensors(0), rtol=0, atol=0)
    same = [tensor for part in (before.parameters, *before.moments) for tensor in part]
    torch.testing.assert_close(same, kept, rtol=0, atol=0)


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("rates", [[0.2], [0.3, 0.1, 0.2]])
@pytest.mark.parametrize("name", LOOPS)
def test_influence_is_how_far_a_lasting_gradient_moves_the_end(name, rates, before):
    """For AdamW with the second moment of the end, as SAMA has it."""
    loop = LOOPS[name].model_copy(update={"weight_decay": 0.0})
    trained = parameters()
    optimiser = build_inner_optimiser(loop, trained)
    for seed in range(before):
        step(optimiser, tensors(seed))
    start = snapshot(loop, optimiser, trained)
    if name == "sgd":
        start = InnerState(start.parameters, start.moments, before)
    for seed in range(len(rates)):
        step(optimiser, tensors(10 + seed))
    end = snapshot(loop, optimiser, trained)
    steps = tuple(InnerStep({}, rate) for rate in rates)
    found = DifferentiableOptimiser(loop).influence(Trajectory(start, steps, end))

    how, momentum, moved = loop.optimiser, 0.0, 0.0
    for count, rate in enumerate(rates, before + 1):
        if name == "sgd":
            momentum = how.momentum * momentum + 1
            moved += rate * momentum
        else:
            momentum = how.beta1 * momentum + (1 - how.beta1)
            moved += rate * momentum / (1 - how.beta1**count)
    for index, influence in enumerate(found):
        if name == "sgd":
            expected = torch.full_like(influence, moved)
        else:
            square = end.moments[1][index] / (1 - how.beta2 ** (before + len(rates)))
            expected = moved / (square.sqrt() + how.epsilon)
        torch.testing.assert_close(influence, expected, rtol=1e-12, atol=0)


def test_without_momentum_a_step_goes_along_the_gradient_and_leaves_the_moments():
    loop = InnerLoop(weight_decay=0.1, optimiser={"name": "sgd", "momentum": 0})
    trained = parameters()
    state = snapshot(loop, build_inner_optimiser(loop, trained), trained)
    moved, moments = DifferentiableOptimiser(loop).step(state, tensors(1), 0.2)
    expected = [p - 0.2 * (g + 0.1 * p) for p, g in zip(tensors(0), tensors(1), strict=True)]
    torch.testing.assert_close(moved, expected)
    torch.testing.assert_close(moments, state.moments, rtol=0, atol=0)
