import numpy as np

from rsmeta.bands import sensor
from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.hold_out import hold_out

LABELS = np.repeat([0, 1, 2], [10, 5, 2])


def test_the_parts_are_of_the_training_chips_alone():
    images = np.arange(17, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 2, 2), "f4")
    train = ChipArray(images, LABELS)
    test = ChipArray(images + 100, LABELS)
    data = LabelledData(train, test, ("a", "b", "c"), sensor("rgb").bands[:1])
    parts = hold_out(data, 0.2, seed=3)
    inner, outer = (
        {float(c.read(i)[0, 0, 0]) for i in range(len(c))} for c in (parts.train, parts.test)
    )
    assert inner | outer == set(range(17))
    assert inner & outer == {15, 16}  # too few to be split
    assert np.bincount(parts.test.labels).tolist() == [2, 1, 2]
    assert parts.classes == data.classes
    again = hold_out(data, 0.2, seed=3)
    assert again.test.labels.tolist() == parts.test.labels.tolist()
