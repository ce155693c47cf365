import numpy as np
import pytest

from rsmeta.data.chips import ChipArray
from rsmeta.errors import RunError
from rsmeta.longtail.predictions import ChipPredictions
from rsmeta.prediction_table import read_predictions, write_predictions

CLASSES = ("NA", "ship")
CHIPS = ChipArray(np.zeros((3, 1, 2, 2), np.float32), np.array([0, 1, 1]))


def predictions(confidence):
    return ChipPredictions(CHIPS.labels, np.array([0, 0, 1]), np.array(confidence))


def test_confidences_before_and_after_calibration_are_read_apart(tmp_path):
    after, before = predictions([0.5, 0.6, 0.7]), predictions([0.8, 0.9, 1.0])
    write_predictions(tmp_path, CHIPS, CLASSES, after, before)
    for calibrated, expected in ((True, after), (False, before)):
        found = read_predictions(tmp_path, CLASSES, calibrated=calibrated)
        np.testing.assert_array_equal(found.confidence, expected.confidence)
        np.testing.assert_array_equal(found.labels, CHIPS.labels)
        np.testing.assert_array_equal(found.predicted, [0, 0, 1])


def test_older_runs_have_no_confidences_before_calibration(tmp_path):
    assert read_predictions(tmp_path, CLASSES) is None
    write_predictions(tmp_path, CHIPS, CLASSES, predictions([0.5, 0.6, 0.7]))
    assert read_predictions(tmp_path, CLASSES) is not None
    assert read_predictions(tmp_path, CLASSES, calibrated=False) is None


def test_a_confidence_out_of_range_is_damage(tmp_path):
    after, before = predictions([0.5, 0.6, 0.7]), predictions([0.8, 0.9, 1.5])
    write_predictions(tmp_path, CHIPS, CLASSES, after, before)
    with pytest.raises(RunError, match="confidence is not in 0 to 1"):
        read_predictions(tmp_path, CLASSES, calibrated=False)
