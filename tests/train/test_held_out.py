import pytest
import torch

from rsmeta.runs import load_run
from rsmeta.train.held_out import held_out_logits


@pytest.mark.parametrize("training", [False, True])
def test_the_logits_are_the_models_and_its_mode_stays(finished_run, training):
    classifier = load_run(finished_run[1]).classifier.train(training)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(5, 2, 64, 64, generator=generator)
    labels = torch.tensor([3, 1, 0, 2, 2])
    batches = [{"image": images[part], "label": labels[part]} for part in (slice(3), slice(3, 5))]
    logits, found = held_out_logits(classifier, batches)
    assert classifier.training == training
    assert torch.equal(found, labels)
    assert logits.dtype == torch.float64 and not logits.requires_grad
    with torch.no_grad():
        expected = classifier.eval()(images).double()
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
