"""The largest curvature of a loss in the adapters, and the scale that follows from it."""

import numpy as np
import pytest
import torch
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from rsmeta.longtail.losses import build_loss
from rsmeta.meta.curvature import LossOfLogits, largest_curvature, largest_stable_scale
from rsmeta.recipe import ClassBalanced, CrossEntropy, LogitAdjusted

COUNTS = np.array([40, 10, 3])


def model_and_batches(seed, sizes=(5, 3)):
    """A network of two layers in float64, and batches of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    model = model.double()
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)
    batches = [
        {
            "image": torch.randn(size, 4, generator=generator, dtype=torch.float64),
            "label": torch.randint(3, (size,), generator=generator),
        }
        for size in sizes
    ]
    return model, batches


def reference(model, names, batches, criterion):
    """The whole Gauss-Newton matrix, from exact derivatives; the mean over all chips."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    chips = sum(len(batch["label"]) for batch in batches)
    total = 0
    for batch in batches:
        free = {name: parameters[name] for name in names}
        logits = functional_call(model, parameters, (batch["image"],)).detach()
        slopes = jacrev(
            lambda free, image=batch["image"]: functional_call(model, parameters | free, (image,))
        )(free)
        jacobian = torch.cat([slopes[n].reshape(logits.numel(), -1) for n in names], dim=1)
        hessian = torch.autograd.functional.hessian(
            lambda z, batch=batch: criterion(z, batch["label"]), logits
        ).reshape(logits.numel(), logits.numel())
        total = total + len(logits) / chips * jacobian.T @ hessian @ jacobian
    return float(torch.linalg.eigvalsh(total)[-1])


LOSSES = [CrossEntropy(name="cross_entropy"), LogitAdjusted(), ClassBalanced(name="class_balanced")]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("names", [["2.weight"], ["2.weight", "2.bias"]])
def test_it_is_the_largest_eigenvalue(seed, loss, names):
    model, batches = model_and_batches(seed)
    criterion = build_loss(loss, COUNTS)
    named = dict(model.named_parameters())
    before = {name: p.detach().clone() for name, p in named.items()}
    parameters = [named[name] for name in names]
    problem = LossOfLogits(lambda batch: model(batch["image"]), criterion, batches, parameters)
    exact = reference(model, names, batches, criterion)
    assert largest_curvature(problem, iterations=200) == pytest.approx(exact, rel=1e-6)
    assert 0.5 * exact < largest_curvature(problem) < exact * (1 + 1e-6)
    assert all(torch.equal(before[name], p) for name, p in named.items())


def test_without_a_gradient_there_is_none():
    model, batches = model_and_batches(0)
    apart = [torch.ones(3, dtype=torch.float64, requires_grad=True)]
    problem = LossOfLogits(lambda batch: model(batch["image"]), F.cross_entropy, batches, apart)
    assert largest_curvature(problem) == 0


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("learning_rate", [0.01, 0.3])
@pytest.mark.parametrize("curvature", [0.5, 400.0])
def test_sgd_converges_below_that_scale_and_diverges_above(momentum, learning_rate, curvature):
    largest = largest_stable_scale(curvature, learning_rate, momentum)
    for share, converges in ((0.97, True), (1.03, False)):
        weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
        sgd = torch.optim.SGD([weight], lr=learning_rate, momentum=momentum)
        for _ in range(2000):
            sgd.zero_grad()
            (0.5 * curvature * (share * largest * weight) ** 2).backward()
            sgd.step()
        assert (abs(weight.item()) < 1e-3) == converges
