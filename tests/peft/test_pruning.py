import copy
import math

import pytest
import torch
from tiny_classifiers import tiny_classifier
from tiny_vits import ADDITIVE, CONFIGS, images, randomise

from rsmeta.errors import PruningError
from rsmeta.peft.pruning import KeepShare, Threshold, sites_left, sites_to_keep, transfer
from rsmeta.peft.sites import Site
from rsmeta.recipe import Adapter, AdaptFormer, Lora, Position

Q0, V0, Q1, V1 = SITES = [Site(b, p) for b in range(2) for p in (Position.Q, Position.V)]
VALUES = dict(zip(SITES, [0.2, 0.1, 0.4, 0.3], strict=True))

# --- which sites to keep --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (1.0, SITES),
        (0.75, [Q0, Q1, V1]),
        (0.5, [Q1, V1]),
        (0.25, [Q1]),
        (1e-9, [Q1]),
    ],
)
def test_a_share_keeps_the_largest_contributions_in_the_order_of_the_sites(share, kept):
    assert sites_to_keep(VALUES, KeepShare(share)) == tuple(kept)


def test_of_equal_contributions_the_first_sites_are_kept():
    assert sites_to_keep(dict.fromkeys(SITES, 0.5), KeepShare(0.5)) == (Q0, V0)
    assert sites_to_keep(VALUES | {Q1: 0.3}, KeepShare(0.25)) == (Q1,)


@pytest.mark.parametrize(
    ("smallest", "kept"), [(0.0, SITES), (0.2, [Q0, Q1, V1]), (0.25, [Q1, V1]), (0.4, [Q1])]
)
def test_a_threshold_keeps_what_is_not_below_it(smallest, kept):
    assert sites_to_keep(VALUES, Threshold(smallest)) == tuple(kept)


def test_what_is_not_a_number_is_dropped_first():
    values = VALUES | {Q1: math.nan}
    assert sites_to_keep(values, KeepShare(0.75)) == (Q0, V0, V1)
    assert sites_to_keep(values, Threshold(0.0)) == (Q0, V0, V1)


def test_a_threshold_that_keeps_nothing_is_an_error():
    with pytest.raises(PruningError, match=r"0.5 keeps no site: the largest contribution is 0.4;"):
        sites_to_keep(VALUES, Threshold(0.5))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, math.nan, math.inf])
def test_an_impossible_share_cannot_be_written(share):
    with pytest.raises(PruningError, match="above 0 and at most 1"):
        KeepShare(share)


@pytest.mark.parametrize("smallest", [-0.1, math.nan, math.inf])
def test_an_impossible_threshold_cannot_be_written(smallest):
    with pytest.raises(PruningError, match="finite numbers from 0"):
        Threshold(smallest)


@pytest.mark.parametrize(
    ("total", "share", "expected"),
    [
        (48, 0.25, [34, 24, 17, 12]),  # halved every two events
        (48, 1.0, [48, 48, 48, 48]),
        (3, 0.01, [1, 1, 1, 1]),
    ],
)
def test_the_number_of_sites_falls_geometrically(total, share, expected):
    assert [sites_left(total, share, event, 4) for event in (1, 2, 3, 4)] == expected
    assert sites_left(total, share, 1, 1) == expected[-1]


# --- the smaller classifier -----------------------------------------------------------------------


def without(classifier, dropped):
    """The classifier with zeros for the up-projections of some sites."""
    changed = copy.deepcopy(classifier)
    for module in changed.backbone.modules():
        if getattr(module, "site", None) in dropped:
            module.up.weight.data.zero_()
            module.up.bias.data.zero_()
        held = [site for site in getattr(module, "sites", ()) if site is not None]
        for number, site in enumerate(held):
            if site in dropped:
                module.up.data[number] = 0
    return changed


LORA = [
    ["q"], ["k"], ["v"], ["out"], ["fc1"], ["fc2"], ["q", "v"], ["k", "v"], ["q", "k", "out"],
    ["v", "fc1", "fc2"],
]  # fmt: skip
CASES = [
    *((Lora(rank=2, alpha=3.0), lambda s, kept=kept: s.position in kept) for kept in LORA),
    (Lora(rank=2), lambda s: (s.block == 0) == (s.position in ("q", "fc1"))),
    (Lora(rank=2, positions=["v", "k"], modulators="fixed"), lambda s: s.position == "v"),
    (Adapter(rank=6), lambda s: s.position == "attn"),
    (Adapter(rank=6), lambda s: (s.block == 0) == (s.position == "mlp")),
    (AdaptFormer(rank=6), lambda s: s.block == 1),
    (AdaptFormer(rank=6, modulators="fixed"), lambda s: s.block == 0),
]


@pytest.mark.parametrize(("config", "stays"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_pruned_classifier_computes_what_is_left(config, stays, dtype):
    source = tiny_classifier(config, dtype, init_values=0.5).eval()
    randomise(source)
    bank, chips = source.modulators, images(dtype=dtype)
    bank.rho.data.add_(torch.linspace(-1, 1, len(bank.sites)))
    kept = [site for site in bank.sites if stays(site)]
    dropped = set(bank.sites) - set(kept)
    assert kept and dropped
    target = tiny_classifier(config, dtype, kept, init_values=0.5).eval()
    transfer(source, target)
    masked = copy.deepcopy(source)
    masked.modulators.keep_only(kept)
    found = target.features(chips)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    for same in (without(source, dropped), masked):
        torch.testing.assert_close(found, same.features(chips), rtol=0, atol=tolerance)
    assert (found - source.features(chips)).abs().max() > 1e-3
    assert torch.equal(target.head.weight, source.head.weight)
    assert target.modulators.sites == tuple(kept) == masked.modulators.left
    kept_values = {site: bank.values()[site] for site in kept}
    assert target.modulators.values() == pytest.approx(kept_values, rel=1e-6, abs=0)
    assert len(target.trained_state()) <= len(source.trained_state())


@pytest.mark.parametrize("method", ADDITIVE)
def test_no_gradient_reaches_a_dropped_site(method):
    classifier = tiny_classifier(CONFIGS[method]).train()
    randomise(classifier)
    bank = classifier.modulators
    bank.keep_only(bank.sites[1:])
    assert bank.gamma()[0] == 0
    assert (bank.gamma()[1:] > 0).all()
    classifier.features(images(4)).square().sum().backward()
    assert bank.rho.grad[0] == 0
    assert bank.rho.grad[1:].all()
    first = next(m for m in classifier.backbone.modules() if hasattr(m, "down"))
    shared = method == "lora"
    for tensor in [first.down, first.up] if shared else list(first.parameters()):
        # In LoRA's first layer k and v go on; the rows of `down` are rank by rank.
        own = tensor.grad[: 2 if tensor is first.down else 1] if shared else tensor.grad
        assert not own.any()
    assert not shared or first.up.grad[1:].any()


def test_what_is_dropped_stays_dropped_and_nothing_is_multiplied_before():
    bank = tiny_classifier(CONFIGS["lora"], torch.float32).modulators
    assert torch.equal(bank.gamma(), torch.nn.functional.softplus(bank.rho))
    assert "Mul" not in type(bank.gamma().grad_fn).__name__
    bank.keep_only(bank.sites[:3])
    bank.keep_only(bank.sites[2:])
    assert bank.left == bank.sites[2:3]
    assert "kept" not in bank.state_dict()


def test_a_threshold_that_keeps_nothing_names_the_largest_number():
    """What is not a number would come out as the largest where it stands first."""
    for values in ({Q0: math.nan, Q1: 0.4}, {Q0: 0.4, Q1: math.nan}):
        with pytest.raises(PruningError, match=r"the largest contribution is 0.4;"):
            sites_to_keep(values, Threshold(0.5))
