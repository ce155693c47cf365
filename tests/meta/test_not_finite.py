"""Slopes that are no numbers never pass for a hypergradient."""

import pytest
import torch

from rsmeta.meta.engines import ENGINES, build_engine
from rsmeta.meta.problem import BilevelProblem, InnerState, InnerStep, Trajectory
from rsmeta.recipe import InnerLoop

INNER = InnerLoop()
BATCH = {"image": torch.zeros(1), "label": torch.zeros(1, dtype=torch.int64)}


def inner_loss(parameters, rho, batch):
    return (parameters[0] * rho).sum()


def outer_loss(parameters, rho, batch):
    """Finite, with a finite slope in rho; the slope of the root at 0 times 0 is no number."""
    return rho.square().sum() + (0 * parameters[0]).sqrt().sum()


def trajectory():
    theta, moment = torch.ones(3), torch.zeros(3)
    state = InnerState([theta], ([moment],), 0)
    return Trajectory(state, (InnerStep(BATCH, 0.1),), state)


@pytest.mark.parametrize("name", sorted(set(ENGINES) - {"first_order"}))
def test_a_slope_of_the_adapters_that_is_no_number_shows(name):
    """The step then says so; the direct gradient alone would have looked sound."""
    problem = BilevelProblem(inner_loss, outer_loss)
    found = build_engine(name, INNER)(problem, trajectory(), torch.ones(3), [BATCH])
    assert found.validation_loss == 3
    assert not found.gradient.isfinite().all()
