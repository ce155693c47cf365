import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rsmeta.longtail.losses import build_loss, logit_adjusted
from rsmeta.recipe import CrossEntropy, LogitAdjusted

COUNTS = [[1, 1], [200, 20, 4], [230, 5, 17, 1, 60], [1_000_000, 1, 3]]
TAUS = [0.0, 0.5, 1.0, 2.5]


def draw(classes, batch=9):
    generator = torch.Generator().manual_seed(classes)
    logits = 5 * torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (batch,), generator=generator)


def formula(logits, labels, tau, counts):
    """Menon et al. 2021, eq. 10, and its gradient, in numpy and float64."""
    prior = np.array(counts) / np.sum(counts)
    adjusted = logits.numpy() + tau * np.log(prior)
    exponents = np.exp(adjusted - adjusted.max(axis=1, keepdims=True))
    shares = exponents / exponents.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(shares[rows, labels.numpy()]).mean()
    shares[rows, labels.numpy()] -= 1
    return loss, shares / len(labels)


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("tau", TAUS)
def test_logit_adjusted_and_its_gradient_follow_the_formula(tau, counts):
    logits, labels = draw(len(counts))
    logits.requires_grad_()
    loss = logit_adjusted(tau, np.array(counts))(logits, labels)
    loss.backward()
    expected, gradient = formula(logits.detach(), labels, tau, counts)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(logits.grad.numpy(), gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("counts", COUNTS)
def test_without_tau_it_is_cross_entropy(counts):
    logits, labels = draw(len(counts))
    loss = logit_adjusted(0.0, np.array(counts))(logits, labels)
    assert torch.equal(loss, F.cross_entropy(logits, labels))


def test_equal_counts_change_nothing():
    logits, labels = draw(4)
    loss = logit_adjusted(1.0, np.full(4, 13))(logits, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels), rtol=1e-6, atol=0)


def test_a_rare_class_must_win_by_more():
    loss = logit_adjusted(1.0, np.array([99, 1]))
    equal = torch.zeros(1, 2)
    assert loss(equal, torch.tensor([1])) > 4 > 0.02 > loss(equal, torch.tensor([0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_has_the_type_of_the_logits(dtype):
    logits, labels = draw(3)
    assert logit_adjusted(1.0, np.array([5, 3, 1]))(logits.to(dtype), labels).dtype == dtype


def test_recipes_choose_the_loss_by_name():
    logits, labels = draw(3)
    counts = np.array([50, 5, 1])
    plain = build_loss(CrossEntropy(name="cross_entropy"), counts)
    adjusted = build_loss(LogitAdjusted(tau=2.0), counts)
    assert torch.equal(plain(logits, labels), F.cross_entropy(logits, labels))
    assert adjusted(logits, labels).item() == pytest.approx(
        formula(logits, labels, 2.0, counts)[0], rel=1e-6
    )
