from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from rsmeta.errors import RecipeError
from rsmeta.longtail.losses import (
    LOSSES,
    balanced_softmax,
    build_loss,
    class_balanced,
    focal,
    lade,
    lader,
    ldam,
    logit_adjusted,
)
from rsmeta.recipe import Ldam, Loss, Recipe
from rsmeta.recipe_reading import override, validate

COUNTS = [[1, 1], [13, 13, 13, 13], [200, 20, 4], [230, 5, 17, 1, 60], [1_000_000, 1, 3]]
SMALL = [230, 5, 17, 1]


def draw(classes, batch=9, spread=5.0):
    generator = torch.Generator().manual_seed(classes)
    logits = spread * torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (batch,), generator=generator)


# --- the papers' formulas, one chip and one class at a time, in plain float64 ------------------


def softmax(row):
    exponents = np.exp(np.asarray(row) - np.max(row))
    return exponents / exponents.sum()


def mean_over_chips(loss_of_chip):
    def formula(logits, labels, counts, *settings):
        rows = zip(logits, labels, strict=True)
        return np.mean([loss_of_chip(row, y, np.array(counts), *settings) for row, y in rows])

    return formula


@mean_over_chips
def menon_eq_10(row, y, counts, tau):
    prior = counts / counts.sum()
    others = [
        (prior[k] / prior[y]) ** tau * np.exp(row[k] - row[y]) for k in range(len(row)) if k != y
    ]
    return np.log(1 + sum(others))


@mean_over_chips
def ren_theorem_1(row, y, counts):
    return -np.log(counts[y] * np.exp(row[y]) / np.sum(counts * np.exp(row)))


@mean_over_chips
def cui_section_4(row, y, counts, beta):
    weights = np.array([(1 - beta) / (1 - beta ** float(n)) for n in counts])
    return -weights[y] * len(counts) / weights.sum() * np.log(softmax(row)[y])


@mean_over_chips
def lin_eq_4(row, y, counts, focusing):
    p = softmax(row)[y]
    return -((1 - p) ** focusing) * np.log(p)


@mean_over_chips
def cao_section_3_2(row, y, counts, max_margin, scale):
    """On cosines: the margin is subtracted first, the scale multiplies afterwards."""
    cosines = row / scale
    c = max_margin * counts.min() ** 0.25
    cosines[y] -= c / counts[y] ** 0.25
    return -np.log(softmax(scale * cosines)[y])


def hong_lade(logits, labels, counts, weight, penalty):
    classes, chips = len(counts), len(labels)
    source = np.array(counts) / np.sum(counts)
    regulariser = 0.0
    for c in range(classes):
        own = [logits[i, c] for i in range(chips) if labels[i] == c]
        if own:
            z = sum(np.exp(logits[i, c]) / classes / source[labels[i]] for i in range(chips))
            log_z = np.log(z / chips)
            regulariser += source[c] * (-np.mean(own) + log_z + penalty * log_z**2)
    return ren_theorem_1(logits, labels, counts) + weight * regulariser


CASES = {
    "logit_adjusted": (
        lambda counts, tau: logit_adjusted(tau, counts),
        menon_eq_10,
        [(0.0,), (0.5,), (1.0,), (2.5,)],
    ),
    "balanced_softmax": (balanced_softmax, ren_theorem_1, [()]),
    "class_balanced": (
        lambda counts, beta: class_balanced(beta, counts),
        cui_section_4,
        [(0.0,), (0.5,), (0.9,), (0.999,), (0.999999,)],
    ),
    "focal": (
        lambda counts, focusing: focal(focusing),
        lin_eq_4,
        [(0.0,), (0.3,), (1.0,), (2.0,), (5.0,)],
    ),
    "ldam": (
        lambda counts, max_margin, scale: ldam(max_margin, counts, scale),
        cao_section_3_2,
        list(product([0.0, 0.2, 0.5, 1.5], [1.0, 10.0, 30.0])),
    ),
    "lade": (
        lambda counts, weight, penalty: lade(weight, penalty, counts),
        hong_lade,
        list(product([0.0, 0.1, 2.0], [0.0, 0.1, 1.0])),
    ),
}
GRID = [(name, settings) for name, case in CASES.items() for settings in case[2]]


def criterion(name, settings, counts):
    return CASES[name][0](np.array(counts), *settings)


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize(("name", "settings"), GRID)
def test_a_loss_follows_its_paper(name, settings, counts):
    logits, labels = draw(len(counts))
    loss = criterion(name, settings, counts)(logits, labels)
    expected = CASES[name][1](logits.numpy().copy(), labels.numpy(), counts, *settings)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("counts", [[1, 1], SMALL, [1_000_000, 1, 3]], ids=str)
@pytest.mark.parametrize(("name", "settings"), GRID)
def test_gradients_of_first_and_second_order_are_right(name, settings, counts):
    logits, labels = draw(len(counts), batch=4, spread=1.0)
    loss = criterion(name, settings, counts)
    assert gradcheck(lambda f: loss(f, labels), logits.requires_grad_())
    assert gradgradcheck(lambda f: loss(f, labels), logits)


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("logit_adjusted", (0.0,)),
        ("class_balanced", (0.0,)),
        ("focal", (0.0,)),
        ("ldam", (0.0, 30.0)),
    ],
)
def test_at_its_neutral_setting_a_loss_is_cross_entropy(name, settings, counts):
    logits, labels = draw(len(counts))
    loss = criterion(name, settings, counts)(logits, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels), rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("logit_adjusted", (1.0,)),
        ("balanced_softmax", ()),
        ("class_balanced", (0.99,)),
        ("lade", (0.0, 0.1)),
    ],
)
def test_with_equal_counts_a_loss_is_cross_entropy(name, settings):
    logits, labels = draw(4)
    loss = criterion(name, settings, [13] * 4)(logits, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels), rtol=1e-13, atol=0)


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_logit_adjustment_at_one_is_the_balanced_softmax(counts):
    logits, labels = draw(len(counts))
    adjusted = logit_adjusted(1.0, np.array(counts))(logits, labels)
    balanced = balanced_softmax(np.array(counts))(logits, labels)
    torch.testing.assert_close(adjusted, balanced, rtol=1e-13, atol=0)


def test_beta_near_one_weighs_by_inverse_frequency():
    logits, labels = draw(4)
    inverse = torch.from_numpy(4 / np.array(SMALL) / np.sum(1 / np.array(SMALL)))
    expected = (inverse[labels] * F.cross_entropy(logits, labels, reduction="none")).mean()
    loss = class_balanced(1 - 1e-12, np.array(SMALL))(logits, labels)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)


def test_weights_hold_for_a_batch_of_one_class():
    """Dividing by the batch's own weights would cancel them here."""
    logits, _ = draw(4)
    plain = F.cross_entropy(logits, torch.full((9,), 3))
    loss = class_balanced(0.999, np.array(SMALL))(logits, torch.full((9,), 3))
    assert loss > 2 * plain


@pytest.mark.parametrize("name", ["logit_adjusted", "balanced_softmax", "ldam", "lade"])
def test_a_rare_class_must_win_by_more(name):
    settings = CASES[name][2][-1]
    loss = criterion(name, settings, [99, 1])
    equal = torch.zeros(1, 2)
    assert loss(equal, torch.tensor([1])) > 2 * loss(equal, torch.tensor([0]))


def test_a_chip_that_is_right_counts_less_in_the_focal_loss():
    easy, hard = torch.tensor([[4.0, 0.0]]), torch.tensor([[-4.0, 0.0]])
    truth = torch.tensor([0])
    shares = [focal(2.0)(x, truth) / F.cross_entropy(x, truth) for x in (easy, hard)]
    assert shares[0] < 1e-3
    assert shares[1] > 0.9


def test_the_margin_is_counted_in_cosines_whatever_the_head_scale():
    """Cosines apart by exactly the rarest class's margin are a tie, at every scale."""
    cosines, rare = torch.tensor([[0.1, 0.6]], dtype=torch.float64), torch.tensor([1])
    for scale in (1.0, 10.0, 30.0):
        loss = build_loss(Ldam(name="ldam", max_margin=0.5), np.array([160, 10]), scale)
        assert loss(scale * cosines, rare).item() == pytest.approx(np.log(2), rel=1e-12)


def test_margins_fall_with_the_fourth_root_of_the_count():
    """16 times as many chips halve the margin."""
    cosines, common = torch.tensor([[0.35, 0.1]], dtype=torch.float64), torch.tensor([0])
    loss = ldam(0.5, np.array([160, 10]), 30.0)
    assert loss(30 * cosines, common).item() == pytest.approx(np.log(2), rel=1e-12)


# --- LADE: a problem whose answer is known ------------------------------------------------------


@pytest.fixture
def population():
    """Chips that show one of three things; shares of things differ by class, classes are unequal.

    Returns log p(x|c) / p_u(x) as (things, classes), and of every chip what it shows and its class.
    """
    chips = np.array([[60, 4, 1], [30, 8, 2], [10, 4, 5]])  # (things, classes)
    given_class = chips / chips.sum(axis=0)
    ratio = np.log(given_class / given_class.mean(axis=1, keepdims=True))
    pairs = [pair for pair, n in np.ndenumerate(chips) for _ in range(n)]
    things, labels = torch.tensor(pairs).T
    return torch.from_numpy(ratio), things, labels, chips.sum(axis=0)


@pytest.mark.parametrize("penalty", [0.0, 0.1, 3.0])
def test_lade_is_least_at_the_density_ratio(population, penalty):
    ratio, things, labels, counts = population
    for loss in (lader(penalty, counts), lade(0.1, penalty, counts)):
        table = ratio.clone().requires_grad_()
        least = loss(table[things], labels)
        least.backward()
        assert table.grad.abs().max() < 1e-12
        generator = torch.Generator().manual_seed(0)
        for _ in range(20):
            step = 0.3 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
            assert loss((ratio + step)[things], labels) > least


def test_the_penalty_fixes_the_level_of_the_logits(population):
    ratio, things, labels, counts = population
    shifted = [lader(penalty, counts)((ratio + 1)[things], labels) for penalty in (0.0, 2.0)]
    level = lader(0.0, counts)(ratio[things], labels)
    torch.testing.assert_close(shifted[0], level)  # the bound itself does not see a constant
    torch.testing.assert_close(shifted[1], level + 2)


def test_a_class_that_the_batch_lacks_is_left_alone():
    logits, _ = draw(4)
    logits.requires_grad_()
    lader(0.1, np.array(SMALL))(logits, torch.tensor([0, 2, 0, 0, 2, 0, 0, 0, 0])).backward()
    assert (logits.grad[:, [1, 3]] == 0).all()
    assert (logits.grad[:, [0, 2]] != 0).all()


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 30.0, 1e6])
@pytest.mark.parametrize(("name", "settings"), GRID)
def test_extreme_logits_and_batches_lacking_classes_stay_finite(name, settings, size, dtype):
    signs = torch.tensor([[1, -1, -1, -1], [-1, 1, 1, -1], [1, 1, 1, 1]])
    for labels in ([0, 0, 0], [3, 3, 3], [0, 1, 3]):
        logits = (size * signs.to(dtype)).requires_grad_()
        loss = criterion(name, settings, SMALL)(logits, torch.tensor(labels))
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("focusing", [0.3, 1.0, 2.0])
def test_the_focal_loss_keeps_its_digits_where_p_is_almost_one(focusing):
    logits = torch.tensor([[20.0, 0.0]], dtype=torch.float64)
    rest = np.exp(-20.0) / (1 + np.exp(-20.0))
    expected = rest**focusing * np.log1p(np.exp(-20.0))
    assert focal(focusing)(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("name", "settings"), [(name, case[2][-1]) for name, case in CASES.items()]
)
def test_a_loss_has_the_type_of_the_logits(name, settings, dtype):
    logits, labels = draw(4, spread=1.0)
    loss = criterion(name, settings, SMALL)
    rounded = loss(logits.to(dtype), labels)
    assert rounded.dtype == dtype
    assert rounded.item() == pytest.approx(loss(logits, labels).item(), rel=0.05)


# --- recipes ------------------------------------------------------------------------------------


def recipe(*overrides):
    values = {"name": "x", "data": {"source": "simulator"}}
    return validate(Recipe, override(Recipe, values, overrides))


@pytest.mark.parametrize(
    ("name", "written", "settings"),
    [
        ("cross_entropy", {}, None),
        ("logit_adjusted", {"tau": 2.0}, (2.0,)),
        ("balanced_softmax", {}, ()),
        ("class_balanced", {"beta": 0.9}, (0.9,)),
        ("focal", {"focusing": 0.5}, (0.5,)),
        ("ldam", {"max_margin": 0.3}, (0.3, 12.0)),
        ("lade", {"weight": 0.05, "penalty": 0.5}, (0.05, 0.5)),
    ],
)
def test_a_recipe_chooses_the_loss_and_its_settings(name, written, settings):
    chosen = [f"inner.loss.name={name}"]
    assert recipe(*chosen).inner.loss.name == name
    loss = recipe(*chosen, *(f"inner.loss.{key}={value}" for key, value in written.items()))
    section = loss.inner.loss
    assert section.model_dump() == {"name": name, **written}
    assert validate(Recipe, loss.model_dump(mode="json")) == loss
    logits, labels = draw(4)
    expected = F.cross_entropy if settings is None else criterion(name, settings, SMALL)
    built = build_loss(section, np.array(SMALL), scale=12.0)
    assert torch.equal(built(logits, labels), expected(logits, labels))


def test_every_loss_of_the_recipe_is_registered():
    union = get_args(Loss)[0]
    assert set(LOSSES) == set(get_args(union))


@pytest.mark.parametrize(
    "wrong",
    [
        "class_balanced.beta=1",
        "class_balanced.beta=-0.1",
        "focal.focusing=-1",
        "focal.gamma=2",
        "ldam.max_margin=-0.5",
        "ldam.max_margin=3",
        "lade.weight=-1",
        "lade.penalty=-1",
    ],
)
def test_settings_without_meaning_are_refused(wrong):
    name, setting = wrong.split(".", maxsplit=1)
    key = setting.partition("=")[0]
    with pytest.raises(RecipeError, match=rf"inner\.loss\.{key}"):
        recipe(f"inner.loss.name={name}", f"inner.loss.{setting}")
