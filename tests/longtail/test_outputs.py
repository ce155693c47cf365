import numpy as np
import pytest
import torch

from rsmeta.longtail.outputs import ChipOutputs


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_moves_confidence_but_not_the_class(temperature):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (50,), generator=generator)
    outputs = ChipOutputs(torch.zeros(50, 3), logits, labels, temperature)
    scaled = np.exp(logits.numpy() / temperature)
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        outputs.true_probability, probabilities[np.arange(50), labels.numpy()]
    )
    np.testing.assert_allclose(outputs.predictions.confidence, probabilities.max(axis=1))
    np.testing.assert_array_equal(outputs.predictions.predicted, outputs.uncalibrated.predicted)
    before, after = outputs.calibration_errors
    assert (before == after) == (temperature == 1.0)
    assert min(before, after) >= 0 and max(before, after) <= 1
