import itertools

import pytest
import torch
from torch.nn import functional as F

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
    return frozen, [tensor.requires_grad_() for tensor in trained]


def written_out(x, weight, bias, down, up, parts, count):
    columns = list(F.linear(x, weight, bias).chunk(count, dim=-1))
    for number, part in enumerate(parts):
        columns[part] = (
            columns[part] + x @ down[number * RANK : (number + 1) * RANK].T @ up[number].T
        )
    return torch.cat(columns, dim=-1)


@pytest.mark.parametrize(("count", "parts"), SUBSETS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_equal_the_formula(count, parts, with_bias):
    (weight, bias), inputs = tensors(count, parts)
    bias = bias if with_bias else None
    results = []
    for function in (adapted_linear, written_out):
        x, down, up = inputs
        output = function(x, weight, bias, down, up, parts, count)
        results.append([output, *torch.autograd.grad(output.sin().sum(), inputs)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("count", "parts"), SUBSETS)
def test_second_derivatives_are_those_of_finite_differences(count, parts):
    (weight, bias), inputs = tensors(count, parts)

    def function(x, down, up):
        return adapted_linear(x, weight, bias, down, up, parts, count).sin()

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_no_gradient_is_computed_for_an_input_that_needs_none():
    (weight, bias), (x, down, up) = tensors(3, (0, 2))
    output = adapted_linear(x.detach(), weight, bias, down, up, (0, 2), 3)
    output.sum().backward()
    assert x.grad is None
    assert down.grad is not None


def test_only_the_input_and_the_narrow_tensors_are_kept():
    """No copy of the wide output: that is where the memory of training goes."""
    (weight, bias), (_, down, up) = tensors(3, (0, 1, 2))
    x = torch.randn(50, IN, dtype=torch.float64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        adapted_linear(x, weight, bias, down, up, (0, 1, 2), 3)
    wide = [t for t in kept if t.shape[0] == 50]
    assert sorted(t.shape[1] for t in wide) == [IN, 3 * RANK]


@pytest.mark.parametrize("shape", [(2, IN), (2, 3, IN), (2, 3, 4, IN)])
def test_any_number_of_leading_dimensions(shape):
    (weight, bias), (_, down, up) = tensors(3, (1,))
    x = torch.randn(shape, dtype=torch.float64)
    found = adapted_linear(x, weight, bias, down, up, (1,), 3)
    torch.testing.assert_close(found, written_out(x, weight, bias, down, up, (1,), 3))


def test_under_autocast_the_output_is_low_and_gradients_are_float32():
    (weight, bias), (x, down, up) = (
        [t.detach().float().requires_grad_(t.requires_grad) for t in group]
        for group in tensors(3, (0, 2))
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = adapted_linear(x, weight.bfloat16(), bias.bfloat16(), down, up, (0, 2), 3)
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    expected = torch.autograd.grad(
        written_out(x, weight, bias, down, up, (0, 2), 3).sum(), [down, up]
    )
    for tensor, gradient in zip([down, up], expected, strict=True):
        assert tensor.grad.dtype == torch.float32
        torch.testing.assert_close(tensor.grad, gradient, rtol=0.03, atol=0.05)
