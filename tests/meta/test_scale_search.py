import math

import pytest
import torch

from rsmeta.meta.scale_search import ScaleTrials
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import BandSite, Position, Site
from rsmeta.recipe import ScaleSearch

SITES = [Site(block, position) for block in (3, 7) for position in (Position.Q, Position.FC1)]


def bank(sharing="none", start=(0.1, 1.0, 2.0, 5.0), sites=SITES):
    return ModulatorBank(sites, start, learned=True, sharing=sharing)


@pytest.mark.parametrize("factor", [1e-3, 0.25, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("sharing", ["none", "block", "position", "all"])
def test_all_modulators_are_that_many_times_their_start(factor, sharing):
    made = bank(sharing)
    start, before = made.rho.detach().clone(), made.gamma().detach()
    made.set_scale(start, 7.0)
    made.set_scale(start, factor)
    torch.testing.assert_close(made.gamma().detach(), factor * before, rtol=1e-5, atol=0)


@pytest.mark.parametrize("sharing", ["none", "block", "position"])
def test_modulators_of_bands_stay_as_they_are(sharing):
    made = bank(sharing, (1.0, 1.0, 2.0, 2.0), [*SITES[:2], BandSite("VV"), BandSite("VH")])
    before = made.gamma().detach()
    made.set_scale(made.rho.detach().clone(), 3.0)
    expected = before * torch.tensor([3.0, 3.0, 1.0, 1.0])
    torch.testing.assert_close(made.gamma().detach(), expected, rtol=1e-5, atol=0)


def three_trials(made, caution=1.0):
    return ScaleTrials(ScaleSearch(factors=[0.5, 1.0, 2.0], caution=caution), made)


def tried(losses, made, caution=1.0):
    trials, seen = three_trials(made, caution), []
    for loss in losses:
        trials.begin()
        seen.append(float(made.gamma()[1].detach()))
        if math.isinf(loss):
            trials.give_up()
        trials.end(0.0 if math.isinf(loss) else loss)
    return trials, seen


@pytest.mark.parametrize("caution", [1.0, 2.0])
@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ((1.0, 0.9, 1.1), 1.0),
        ((1.0, 0.9, 0.8), 2.0),
        ((0.7, 0.7, 0.7), 0.5),
        ((1.0, 2.0, math.inf), 0.5),
        ((math.inf, math.inf, math.inf), 0.5),
    ],
)
def test_every_factor_is_tried_and_the_smallest_loss_decides(losses, best, caution):
    made = bank()
    trials, seen = tried(losses, made, caution)
    assert seen == pytest.approx([0.5, 1.0, 2.0])
    assert trials.done and list(trials.losses.values()) == list(losses)
    trials.begin()
    assert trials.chosen == best / caution
    expected = [best / caution * gamma for gamma in (0.1, 1.0, 2.0, 5.0)]
    assert made.gamma().tolist() == pytest.approx(expected)


def test_it_goes_on_from_its_state():
    trials, _ = tried((1.0, math.inf), bank())
    trials.give_up()
    made = bank()
    rest = three_trials(made)
    rest.load_state_dict(trials.state_dict())
    assert rest.given_up and not rest.done
    rest.begin()
    assert float(made.gamma()[1].detach()) == pytest.approx(2.0)
    assert rest.end(0.5) == math.inf and not rest.given_up
    assert rest.losses == {0.5: 1.0, 1.0: math.inf, 2.0: math.inf}
