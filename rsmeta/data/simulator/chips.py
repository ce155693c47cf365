"""Labelled chips cut from simulated sites."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator.ground import Canvas, Ground
from rsmeta.data.simulator.render import Radar, render
from rsmeta.data.simulator.sites import CLASSES, SITE_SIZE, SITES

_MARGIN = 32


@dataclass(frozen=True)
class SimulatedChips:
    """Chips and their classes.

    Attributes:
        images: (chips, bands, size, size), float32, units of the sensor's bands.
        labels: (chips,), int64, indexes into `CLASSES`.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def long_tailed_counts(largest: int, imbalance: float) -> list[int]:
    """Exponentially falling class counts, as in CIFAR-100-LT (Cao et al. 2019, LDAM).

    Args:
        largest: Chips of the most frequent class.
        imbalance: Largest count over smallest count, >= 1.
    """
    last = len(CLASSES) - 1
    return [max(1, round(largest * imbalance ** (-index / last))) for index in range(last + 1)]


def simulate_chips(
    counts: list[int],
    size: int,
    sensor: SimulatedSensor,
    seed: int,
    stream: int = 0,
    radar: Radar | None = None,
) -> SimulatedChips:
    """Simulate labelled chips; the same arguments give the same bytes.

    Args:
        counts: Chips a class, in the order of `CLASSES`.
        size: Side of a chip in pixels, at most `SITE_SIZE`.
        sensor: Which sensor to render.
        seed: Seed, below 2**32; different seeds give independent grounds.
        stream: Keeps sets of one seed apart: chips of different streams are independent.
        radar: SAR settings.
    """
    images, labels = [], []
    for label, count in enumerate(counts):
        for number in range(count):
            generator = np.random.default_rng([seed, label, number, stream])
            ground = _surrounded_site(label, generator)
            image = render(ground, sensor, generator, radar)
            row, column = generator.integers(_MARGIN - 8, _MARGIN + SITE_SIZE - size + 9, size=2)
            images.append(image[:, row : row + size, column : column + size])
            labels.append(label)
    shape = (0, len(sensor.bands), size, size)
    stack = np.stack(images) if images else np.empty(shape, dtype=np.float32)
    return SimulatedChips(np.ascontiguousarray(stack), np.array(labels, dtype=np.int64))


def _surrounded_site(label: int, generator: np.random.Generator) -> Ground:
    site = SITES[label]
    around = site.surroundings[generator.integers(len(site.surroundings))]
    canvas = Canvas(SITE_SIZE + 2 * _MARGIN, around)
    canvas.ground.paste(site.paint(generator), _MARGIN, _MARGIN)
    return canvas.ground
