import itertools

import pytest
import torch
from torch.nn import functional as F

from rsmeta.peft.lora import _as_slice
from rsmeta.peft.low_rank import adapted_linear

IN, WIDTH, RANK = 5, 4, 2
SUBSETS = [
    (count, parts)
    for count in (1, 2, 3)
    for size in range(1, count + 1)
    for parts in itertools.combinations(range(count), size)
]


def tensors(count, parts, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    frozen = normal(count * WIDTH, IN), normal(count * WIDTH)
    trained = normal(3, IN), normal(len(parts) * RANK, IN), normal(len(parts), WIDTH, RANK)
    trained = *trained, normal(len(parts))
    return frozen, [tensor.requires_grad_() for tensor in trained]


def ours(x, weight, bias, down, up, factor, parts, count):
    return adapted_linear(x, weight, bias, down, up, factor, _as_slice(parts), count)


def written_out(x, weight, bias, down, up, factor, parts, count):
    columns = list(F.linear(x, weight, bias).chunk(count, dim=-1))
    for number, part in enumerate(parts):
        hidden = x @ down[number * RANK : (number + 1) * RANK].T
        columns[part] = columns[part] + hidden @ up[number].T * factor[number]
    return torch.cat(columns, dim=-1)


@pytest.mark.parametrize(("count", "parts"), SUBSETS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_equal_the_formula(count, parts, with_bias):
    (weight, bias), inputs = tensors(count, parts)
    bias = bias if with_bias else None
    results = []
    for function in (ours, written_out):
        x, *trained = inputs
        output = function(x, weight, bias, *trained, parts, count)
        results.append([output, *torch.autograd.grad(output.sin().sum(), inputs)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("count", "parts"), SUBSETS)
def test_second_derivatives_are_those_of_finite_differences(count, parts):
    (weight, bias), inputs = tensors(count, parts)

    def function(x, *trained):
        return ours(x, weight, bias, *trained, parts, count).sin()

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_no_gradient_is_computed_for_an_input_that_needs_none():
    (weight, bias), (x, down, up, factor) = tensors(3, (0, 2))
    output = ours(x.detach(), weight, bias, down.detach(), up, factor, (0, 2), 3)
    output.sum().backward()
    assert x.grad is None
    assert down.grad is None
    assert up.grad is not None
    assert factor.grad is not None


def test_only_the_input_and_the_narrow_tensors_are_kept():
    """No copy of the wide output: that is where the memory of training goes."""
    (weight, bias), (_, *trained) = tensors(3, (0, 1, 2))
    x = torch.randn(50, IN, dtype=torch.float64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        ours(x, weight, bias, *trained, (0, 1, 2), 3)
    by_token = [t for t in kept if 50 in t.shape]
    assert sorted(t.numel() // 50 for t in by_token) == [IN, 3 * RANK]


@pytest.mark.parametrize("shape", [(2, IN), (2, 3, IN), (2, 3, 4, IN)])
def test_any_number_of_leading_dimensions(shape):
    (weight, bias), (_, *trained) = tensors(3, (1,))
    x = torch.randn(shape, dtype=torch.float64)
    found = ours(x, weight, bias, *trained, (1,), 3)
    torch.testing.assert_close(found, written_out(x, weight, bias, *trained, (1,), 3))
    strided = ours(x.transpose(0, -2), weight, bias, *trained, (1,), 3)
    torch.testing.assert_close(strided, found.transpose(0, -2))


@pytest.mark.parametrize(("count", "parts"), [(3, (0, 2)), (1, (0,))])
def test_under_autocast_the_output_is_low_and_gradients_are_float32(count, parts):
    (weight, bias), (x, *trained) = (
        [t.detach().float().requires_grad_(t.requires_grad) for t in group]
        for group in tensors(count, parts)
    )
    frozen = weight.bfloat16(), bias.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = ours(x, *frozen, *trained, parts, count)
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    exact = written_out(x, weight, bias, *trained, parts, count)
    expected = torch.autograd.grad(exact.sum(), trained)
    for tensor, gradient in zip(trained, expected, strict=True):
        assert tensor.grad.dtype == torch.float32
        torch.testing.assert_close(tensor.grad, gradient, rtol=0.03, atol=0.1)
