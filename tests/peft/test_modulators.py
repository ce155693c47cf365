import pytest
import torch

from rsmeta.peft.modulators import ModulatorBank, inverse_softplus
from rsmeta.peft.sites import Site
from rsmeta.recipe import Position

SITES = [Site(block, position) for block in range(2) for position in Position]


@pytest.mark.parametrize("value", [1e-4, 0.25, 1.0, 8.0, 1000.0])
def test_inverse_softplus(value):
    rho = torch.tensor(inverse_softplus(value), dtype=torch.float64)
    assert torch.nn.functional.softplus(rho).item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("start", [0.5, 1.0, 4.0])
def test_every_modulator_starts_at_the_same_positive_value(start):
    bank = ModulatorBank(SITES, start, learned=True)
    assert bank.values() == pytest.approx(dict.fromkeys(SITES, start), rel=1e-6)


@pytest.mark.parametrize("learned", [True, False])
def test_only_learned_modulators_take_gradients(learned):
    assert ModulatorBank(SITES, 1.0, learned).rho.requires_grad is learned


def test_modulators_stay_positive_wherever_rho_goes():
    bank = ModulatorBank(SITES, 1.0, learned=True)
    bank.rho.data = torch.linspace(-50, 50, len(SITES))
    assert (bank.gamma() > 0).all()
