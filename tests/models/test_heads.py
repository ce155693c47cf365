import pytest
import torch

from rsmeta.models.heads import CosineHead


@pytest.fixture
def features():
    return 7 * torch.randn(12, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_logits_are_the_scaled_cosine(features, scale):
    head = CosineHead(6, 4, scale)
    logits = head(features)
    for row, feature in zip(logits, features, strict=True):
        for logit, weight in zip(row, head.weight, strict=True):
            cosine = feature @ weight / (feature.norm() * weight.norm())
            assert logit.item() == pytest.approx(scale * cosine.item(), abs=1e-4)


def test_neither_length_of_features_nor_of_weights_matters(features):
    head = CosineHead(6, 4, 30)
    before = head(features)
    with torch.no_grad():
        head.weight *= 13
    torch.testing.assert_close(head(0.01 * features), before, rtol=1e-4, atol=1e-4)


def test_logits_are_float32_under_autocast(features):
    head = CosineHead(6, 4, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(features)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, head(features))


def test_weights_start_at_the_mean_directions_of_the_classes(features):
    head, labels = CosineHead(6, 3, 30), torch.tensor([0, 1, 2] * 4)
    head.start_at_class_means([(features[:5], labels[:5]), (features[5:], labels[5:])])
    for label in range(3):
        members = features[labels == label]
        mean = (members / members.norm(dim=1, keepdim=True)).mean(dim=0)
        torch.testing.assert_close(head.weight[label], mean / mean.norm())


def test_a_class_without_features_keeps_its_random_weight(features):
    head = CosineHead(6, 3, 30)
    before = head.weight.detach().clone()
    head.start_at_class_means([(features, torch.zeros(12, dtype=torch.int64))])
    assert torch.equal(head.weight[1:], before[1:])
    assert not torch.equal(head.weight[0], before[0])


def test_weights_can_be_trained_after_the_start(features):
    head = CosineHead(6, 3, 30)
    head.start_at_class_means([(features, torch.arange(12) % 3)])
    head(features).sum().backward()
    assert head.weight.requires_grad
    assert torch.isfinite(head.weight.grad).all()


def test_separated_classes_are_told_apart_at_the_start():
    centres = torch.eye(5)[:3].repeat_interleave(10, dim=0)
    noise = 0.05 * torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(3).repeat_interleave(10)
    head = CosineHead(5, 3, 30)
    head.start_at_class_means([(centres + noise, labels)])
    assert torch.equal(head(centres + noise).argmax(dim=1), labels)


def test_a_feature_of_zeros_gives_finite_logits():
    assert torch.equal(CosineHead(4, 2, 30)(torch.zeros(1, 4)), torch.zeros(1, 2))


def test_fitting_ends_where_the_loss_has_no_slope(features):
    head, labels = CosineHead(6, 3, 5.0), torch.arange(12) % 3
    head.start_at_class_means([(features, labels)])
    before = torch.nn.functional.cross_entropy(head(features), labels)
    head.fit(features, labels, torch.nn.functional.cross_entropy)
    after = torch.nn.functional.cross_entropy(head(features), labels)
    assert after < 0.9 * before
    (slope,) = torch.autograd.grad(after, [head.weight])
    assert slope.norm() < 1e-3
    assert head.weight.grad is None
