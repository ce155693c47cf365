import numpy as np
import pytest

from rsmeta.longtail.predictions import ChipPredictions


@pytest.mark.parametrize(
    ("labels", "predicted", "only"),
    [
        ([0, 1, 2], [1, 1, 1], 1),
        ([0, 1, 2], [0, 0, 0], 0),
        ([0, 1, 2], [1, 1, 2], None),
        ([1, 1, 1], [1, 1, 1], None),  # as it should be
        ([], [], None),
    ],
)
def test_the_only_class_is_that_of_a_model_that_tells_nothing_apart(labels, predicted, only):
    found = ChipPredictions(
        np.array(labels, dtype=np.int64),
        np.array(predicted, dtype=np.int64),
        np.ones(len(labels)),
    )
    assert found.only_class == only
