import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from rsmeta.longtail.calibration import expected_calibration_error, reliability_table
from rsmeta.longtail.predictions import ChipPredictions


def drawn(chips, classes, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(chips, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (chips,), generator=generator)
    return logits, labels


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("scale", [0.3, 2.0, 9.0])
def test_the_error_is_that_of_all_probabilities(bins, scale):
    logits, labels = drawn(400, 6, scale, 1)
    predictions = ChipPredictions.from_logits(logits, labels)
    wanted = multiclass_calibration_error(logits.softmax(-1), labels, num_classes=6, n_bins=bins)
    assert expected_calibration_error(predictions, bins) == pytest.approx(float(wanted), abs=1e-6)


@pytest.mark.parametrize("scale", [0.3, 2.0, 60.0])
def test_the_table_gives_the_error(scale):
    predictions = ChipPredictions.from_logits(*drawn(300, 4, scale, 2))
    table = reliability_table(predictions)
    assert table["chips"].sum() == 300
    filled = table.dropna()
    inside = (filled["confidence"] >= filled["lower"]) & (filled["confidence"] <= filled["upper"])
    assert inside.all()
    gap = (filled["confidence"] - filled["accuracy"]).abs()
    error = (gap * filled["chips"]).sum() / 300
    assert expected_calibration_error(predictions) == pytest.approx(error, abs=1e-6)


def test_a_model_that_is_sure_and_wrong_has_an_error_of_one():
    ones = np.ones(7)
    wrong = ChipPredictions(np.zeros(7, dtype=np.int64), np.ones(7, dtype=np.int64), ones)
    assert expected_calibration_error(wrong) == pytest.approx(1)
    right = ChipPredictions(wrong.labels, wrong.labels, ones)
    assert expected_calibration_error(right) == pytest.approx(0, abs=1e-9)
    assert reliability_table(right)["chips"].iloc[-1] == 7


def test_the_confusion_counts_true_classes_in_rows():
    predictions = ChipPredictions(np.array([0, 0, 2]), np.array([0, 1, 1]), np.ones(3))
    assert predictions.confusion(3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
