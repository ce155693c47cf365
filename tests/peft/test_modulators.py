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
    bank = ModulatorBank(SITES, [start] * len(SITES), learned=True)
    assert bank.values() == pytest.approx(dict.fromkeys(SITES, start), rel=1e-6)


@pytest.mark.parametrize("learned", [True, False])
def test_only_learned_modulators_take_gradients(learned):
    assert ModulatorBank(SITES, [1.0] * len(SITES), learned).rho.requires_grad is learned


def test_modulators_stay_positive_wherever_rho_goes():
    bank = ModulatorBank(SITES, [1.0] * len(SITES), learned=True)
    bank.rho.data = torch.linspace(-50, 50, len(SITES))
    assert (bank.gamma() > 0).all()


KEYS = {
    "none": lambda site: site,
    "block": lambda site: site.block,
    "position": lambda site: site.position,
    "all": lambda site: 0,
}


@pytest.mark.parametrize(
    ("sharing", "count"), [("none", 12), ("block", 2), ("position", 6), ("all", 1)]
)
def test_sites_that_share_a_modulator_have_one_rho_that_starts_at_their_mean(sharing, count):
    start = [1.0 + index / 10 for index in range(len(SITES))]
    bank = ModulatorBank(SITES, start, learned=True, sharing=sharing)
    assert bank.rho.shape == (count,)
    key = KEYS[sharing]
    for site, gamma in bank.values().items():
        members = [value for s, value in zip(SITES, start, strict=True) if key(s) == key(site)]
        assert gamma == pytest.approx(sum(members) / len(members), rel=1e-6)


@pytest.mark.parametrize("sharing", KEYS)
def test_what_a_site_wants_moves_all_that_share_its_modulator_and_no_other(sharing):
    bank = ModulatorBank(SITES, [1.0] * len(SITES), learned=True, sharing=sharing)
    bank.gamma()[3].backward()
    with torch.no_grad():
        bank.rho += bank.rho.grad
    key = KEYS[sharing]
    moved = {site for site, gamma in bank.values().items() if gamma > 1.01}
    assert moved == {site for site in SITES if key(site) == key(SITES[3])}


@pytest.mark.parametrize("sharing", KEYS)
def test_a_smaller_bank_takes_over_the_modulators_of_its_sites(sharing):
    bank = ModulatorBank(SITES, [1.0] * len(SITES), learned=True, sharing=sharing)
    torch.nn.init.normal_(bank.rho)
    kept = [SITES[1], SITES[8], SITES[9]]
    smaller = ModulatorBank(kept, [1.0] * 3, learned=True, sharing=sharing)
    with torch.no_grad():
        smaller.take_sites(bank)
    values = bank.values()
    taken = {site: values[site] for site in kept}
    assert smaller.values() == pytest.approx(taken, rel=1e-6, abs=0)


def test_a_constant_bank_gives_the_same_values_without_a_gradient():
    bank = ModulatorBank(SITES, [2.0] * len(SITES), learned=True)
    with bank.constant():
        assert not bank.gamma().requires_grad
        assert torch.equal(bank.gamma(), torch.nn.functional.softplus(bank.rho))
        assert bank.gamma() is bank.gamma()
    bank.rho.data += 1
    assert bank.gamma().requires_grad
    assert torch.equal(bank.gamma(), torch.nn.functional.softplus(bank.rho))


def test_a_bank_is_constant_no_longer_after_an_error():
    bank = ModulatorBank(SITES, [2.0] * len(SITES), learned=True)
    with pytest.raises(ZeroDivisionError), bank.constant():
        1 / 0  # noqa: B018
    assert bank.gamma().requires_grad


@pytest.mark.parametrize("start", [[1.0], [1.0, 1.0, 1.0]])
def test_every_site_has_one_start(start):
    with pytest.raises(ValueError, match="zip"):
        ModulatorBank([Site(0, Position.Q), Site(0, Position.K)], start, learned=True)
