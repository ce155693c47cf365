"""Simulated chips as labelled data."""

from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.simulator import CLASSES, Radar, long_tailed_counts, simulate_chips
from rsmeta.data.simulator.ground import PIXEL_SIZE
from rsmeta.recipe import SimulatorData

_TRAIN_STREAM, _TEST_STREAM = 1, 2


def load_simulated(config: SimulatorData, seed: int) -> LabelledData:
    """Simulate long-tailed training chips and evenly many test chips of each class."""
    radar = Radar(looks=config.looks)
    counts = long_tailed_counts(config.largest_class, config.imbalance)
    evenly = [config.test_per_class] * len(CLASSES)
    train, test = (
        simulate_chips(count, config.crop, config.sensor, seed, stream, radar)
        for count, stream in ((counts, _TRAIN_STREAM), (evenly, _TEST_STREAM))
    )
    return LabelledData(
        train=ChipArray(train.images, train.labels, PIXEL_SIZE),
        test=ChipArray(test.images, test.labels, PIXEL_SIZE),
        classes=CLASSES,
        bands=config.selected_bands,
    )
