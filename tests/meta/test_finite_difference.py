"""Finite differences where they are exact: a training loss that is bilinear."""

import pytest
import torch

from rsmeta.meta.engines import build_engine
from rsmeta.meta.inner_optimiser import build_inner_optimiser
from rsmeta.meta.problem import BilevelProblem
from rsmeta.meta.recorder import TrajectoryRecorder
from rsmeta.recipe import InnerLoop

SGD = InnerLoop(learning_rate=0.1, weight_decay=0.0, optimiser={"momentum": 0.7})
RHO = torch.tensor([0.3, -0.2], dtype=torch.float64)


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def inner_loss(parameters, rho, batch):
    return rho @ batch["coupling"] @ parameters[0] + rho.square() @ parameters[1]


def outer_loss(parameters, rho, batch):
    return sum((p - batch["target"]).square().sum() for p in parameters) + rho.exp().sum()


def trained(steps):
    """A trajectory after two steps before it; every step has the same batch."""
    parameters = [torch.nn.Parameter(normal(n, seed=n)) for n in (3, 2)]
    optimiser = build_inner_optimiser(SGD, parameters)
    recorder = TrajectoryRecorder(SGD, optimiser, parameters)
    batch = {"coupling": normal(2, 3, seed=5)}
    for number in range(2 + steps):
        if number == 2:
            recorder.finish()
        rate = 0.1 / (1 + number)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        inner_loss(parameters, RHO, batch).backward()
        optimiser.step()
        recorder.add(batch, rate)
    return recorder.finish()


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_of_a_bilinear_training_loss_the_difference_is_exact(steps):
    trajectory = trained(steps)
    problem = BilevelProblem(inner_loss, outer_loss)
    arguments = (problem, trajectory, RHO, [{"target": 0.5}, {"target": -1.0}])
    found = build_engine("finite_difference", SGD)(*arguments)
    exact = build_engine("unrolled", SGD)(*arguments)
    direct = build_engine("first_order", SGD)(*arguments)
    torch.testing.assert_close(found.gradient, exact.gradient, rtol=1e-8, atol=0)
    assert (found.gradient - direct.gradient).norm() > 0.05 * direct.gradient.norm()
    assert found.validation_loss == exact.validation_loss == direct.validation_loss


def test_where_the_validation_loss_does_not_depend_on_the_weights_the_direct_gradient_is_all():
    def of_rho(parameters, rho, batch):
        return rho.exp().sum() + sum(0 * parameter.sum() for parameter in parameters)

    problem = BilevelProblem(inner_loss, of_rho)
    found = build_engine("finite_difference", SGD)(problem, trained(2), RHO, [{}])
    torch.testing.assert_close(found.gradient, RHO.exp(), rtol=1e-12, atol=0)
