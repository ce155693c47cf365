"""What an outer step does with a hypergradient and its loss, whichever engine they are from."""

import pytest
import torch

from rsmeta.meta.outer_loop import OuterStep
from rsmeta.meta.problem import BilevelProblem, InnerState, InnerStep, Trajectory
from rsmeta.recipe import InnerLoop, OuterLoop


class Bank:
    """Two modulators."""

    def __init__(self):
        self.rho = torch.zeros(2, dtype=torch.float64, requires_grad=True)


def scripted(**options):
    """An outer step and a function that takes it with a loss and a gradient of one's choice."""
    bank = Bank()
    outer = OuterStep(OuterLoop(**{"learning_rate": 0.1, **options}), InnerLoop(), bank)
    state = InnerState([torch.zeros(1, dtype=torch.float64)], (), 0)
    trajectory = Trajectory(state, (InnerStep({}, 0.1),), state)

    def take(loss, gradient=(1.0, 1.0), more=lambda rho: 0):
        slope = torch.tensor(gradient, dtype=torch.float64)

        def outer_loss(parameters, rho, batch):
            return slope @ rho - (slope @ rho).detach() + loss + more(rho)

        return outer(BilevelProblem(outer_loss, outer_loss), trajectory, [{}])

    return bank, outer, take


def test_the_first_step_is_of_the_learning_rate_against_the_gradient():
    bank, _, take = scripted()
    record = take(1.5, (2.0, -0.5))
    assert (record.loss, record.cosine, record.skipped) == (1.5, None, False)
    expected = torch.tensor([-0.1, 0.1], dtype=torch.float64)
    torch.testing.assert_close(bank.rho.detach(), expected, rtol=1e-6, atol=0)


def test_the_cosine_is_to_the_gradient_before():
    _, _, take = scripted()
    found = [take(1.0, gradient).cosine for gradient in [(1, 0), (0, 2), (1, 1), (-3, -3)]]
    assert found[0] is None
    assert found[1:] == pytest.approx([0, 0.5**0.5, -1], abs=1e-12)


def test_the_guard_compares_with_the_mean_of_the_losses_before():
    _, _, take = scripted(margin=0.5)
    mean = 1.0
    for loss in (1.0, 1.5, 1.551, 1.2, 9.0, 2.4, 2.2, 0.0, 1.9):
        assert take(loss).skipped == (loss > mean + 0.5), loss
        mean = 0.9 * mean + 0.1 * loss


def test_a_loss_at_the_margin_is_not_skipped():
    _, _, take = scripted(margin=0.5)
    take(1.0)
    assert not take(1.5).skipped


def test_a_skipped_step_leaves_the_modulators_and_their_optimiser():
    bank, outer, take = scripted(margin=0.5)
    take(1.0)
    rho, state = bank.rho.detach().clone(), str(outer.state_dict()["optimiser"])
    assert take(3.0).skipped
    assert torch.equal(bank.rho, rho)
    assert str(outer.state_dict()["optimiser"]) == state


@pytest.mark.parametrize(("clip", "norm"), [(None, 5), (2.0, 2), (7.0, 5)])
def test_gradients_are_clipped_to_a_norm(clip, norm):
    bank, outer, take = scripted(clip=clip)
    take(1.0, (3.0, 4.0))
    (state,) = outer.state_dict()["optimiser"]["state"].values()
    assert float(state["exp_avg"].norm()) == pytest.approx(0.1 * norm, rel=1e-5)
    assert bank.rho.grad is None


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops(loss):
    bank, _, take = scripted()
    with pytest.raises(FloatingPointError, match=f"the validation loss is {loss}"):
        take(loss)
    assert not bank.rho.any()


def test_a_hypergradient_that_is_not_finite_in_one_place_stops():
    bank, _, take = scripted()
    with pytest.raises(FloatingPointError, match="the hypergradient is not finite"):
        take(1.0, more=lambda rho: rho[1].sqrt())  # infinitely steep at 0
    assert not bank.rho.any()


def test_a_step_goes_on_from_its_state():
    script = [(1.0, (1, 2)), (1.2, (2, -1)), (1.9, (1, 1)), (1.1, (0, 3)), (1.7, (1, 0))]
    whole, _, take = scripted(margin=0.5)
    expected = [take(*what) for what in script]
    for stop in range(len(script)):
        first, outer, take = scripted(margin=0.5)
        found = [take(*what) for what in script[:stop]]
        state = outer.state_dict()
        # JSON makes strings of the numbers of parameters.
        numbered = state["optimiser"]["state"]
        names = {str(key): value for key, value in numbered.items()}
        state["optimiser"] = {**state["optimiser"], "state": names}
        second, outer, take = scripted(margin=0.5)
        second.rho.data.copy_(first.rho.data)
        outer.load_state_dict(state)
        found += [take(*what) for what in script[stop:]]
        assert found == expected
        assert torch.equal(second.rho, whole.rho)
