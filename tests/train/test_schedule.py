import math

import pytest
import torch

from rsmeta.train.schedule import warm_cosine

STEPS = 40


def rates(warm_up, *parts):
    parts = parts or (STEPS,)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.02)
    schedule = warm_cosine(optimiser, parts, warm_up)
    found = []
    for _ in range(sum(parts)):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return [*found, optimiser.param_groups[0]["lr"]]


def test_without_a_rise_it_is_the_cosine_of_torch():
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=STEPS)
    expected = []
    for _ in range(STEPS + 1):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates(0) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("warm_up", [0.125, 0.25, 0.9])
def test_the_rise_is_linear_and_meets_the_cosine(warm_up):
    found, cosine = rates(warm_up), rates(0)
    rise = warm_up * STEPS
    for step, rate in enumerate(found):
        assert rate == pytest.approx(min(0.02 * (step + 1) / rise, cosine[step]), abs=1e-15)
    assert found[0] == pytest.approx(0.02 / rise)
    assert found[-1] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warm_up", [0, 0.1, 0.5, 0.99])
def test_short_trainings_have_positive_rates(steps, warm_up):
    *found, last = rates(warm_up, steps)
    assert all(0 < rate <= 0.02 for rate in found)
    assert math.isclose(last, 0, abs_tol=1e-15)


@pytest.mark.parametrize("warm_up", [0, 0.25])
def test_every_part_has_a_rise_and_a_fall_of_its_own(warm_up):
    *first, _ = rates(warm_up, 12)
    assert rates(warm_up, 12, STEPS) == pytest.approx([*first, *rates(warm_up, STEPS)])
