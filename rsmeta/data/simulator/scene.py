"""Whole simulated scenes: land cover, sites of all classes, and the truth about both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from rsmeta.data.simulator.ground import Ground, smooth_noise
from rsmeta.data.simulator.materials import Material
from rsmeta.data.simulator.sites import CLASSES, SITE_SIZE, SITES

UNLABELLED = 255
"""Truth value of pixels near borders between covers, where no class is right."""

_SITE_PITCH = 2 * SITE_SIZE
_SITE_SHARE = 0.7
_SITE_IMBALANCE = 20.0
_COVER_SCALE = 90.0
_BORDER = 24

_WATER, _FIELD, _FOREST = (CLASSES.index(name) for name in ("open water", "field", "forest"))


@dataclass(frozen=True)
class SimulatedScene:
    """Ground of a scene and the class of each of its pixels.

    Attributes:
        ground: The ground, (size, size) pixels.
        truth: (size, size), uint8, index into `CLASSES` or `UNLABELLED`.
    """

    ground: Ground
    truth: NDArray[np.uint8]


def lay_out_scene(size: int, seed: int) -> SimulatedScene:
    """Lay out a square scene; the same size and seed give the same ground.

    A smooth field decides between water, fields and forest; sites of the other classes lie where
    their surroundings are, the classes at the end of `CLASSES` being rare.

    Args:
        size: Side in pixels, at least `SITE_SIZE`.
        seed: Seed.
    """
    generator = np.random.default_rng([seed, size])
    cover = _land_cover(size, generator)
    ground = _paint_cover(cover, generator)
    classes = cover.copy()
    footprints: list[tuple[int, int, int]] = []
    for row in range(0, size - _SITE_PITCH + 1, _SITE_PITCH):
        for column in range(0, size - _SITE_PITCH + 1, _SITE_PITCH):
            top, left = (np.array([row, column]) + generator.integers(0, SITE_SIZE, 2)).tolist()
            label = _site_class(int(cover[top + SITE_SIZE // 2, left + SITE_SIZE // 2]), generator)
            if label is not None:
                ground.paste(SITES[label].paint(generator), top, left)
                classes[top : top + SITE_SIZE, left : left + SITE_SIZE] = label
                footprints.append((label, top, left))
    return SimulatedScene(ground, _truth(classes, footprints))


def _land_cover(size: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    field = smooth_noise((size, size), min(_COVER_SCALE, size / 6), generator)
    low, high = np.quantile(field, [0.3, 0.72])
    cover = np.full(field.shape, _FIELD, dtype=np.uint8)
    cover[field < low] = _WATER
    cover[field > high] = _FOREST
    return cover


def _paint_cover(cover: NDArray[np.uint8], generator: np.random.Generator) -> Ground:
    """Fill each cover with parcels painted as its class is in chips."""
    size = cover.shape[0]
    ground = Ground.of(np.full(cover.shape, Material.WATER, dtype=np.uint8))
    for row in range(0, size, SITE_SIZE):
        for column in range(0, size, SITE_SIZE):
            window = (slice(row, row + SITE_SIZE), slice(column, column + SITE_SIZE))
            part = cover[window]
            height, width = part.shape
            for label in np.unique(part):
                parcel, here = SITES[label].paint(generator), part == label
                ground.material[window][here] = parcel.material[:height, :width][here]
                ground.elevation[window][here] = parcel.elevation[:height, :width][here]
                ground.tone[window][here] = parcel.tone[:height, :width][here]
    return ground


def _site_class(cover: int, generator: np.random.Generator) -> int | None:
    """Class of a new site on a cover, or None for no site here."""
    fitting = [
        label
        for label, site in enumerate(SITES)
        if label not in (_WATER, _FIELD, _FOREST)
        and (cover == _WATER) == (Material.WATER in site.surroundings)
    ]
    if cover == _FOREST or generator.random() > _SITE_SHARE:
        return None
    weights = _SITE_IMBALANCE ** (-np.array(fitting) / (len(SITES) - 1))
    return int(generator.choice(fitting, p=weights / weights.sum()))


def _truth(classes: NDArray[np.uint8], footprints: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    window = 2 * _BORDER + 1
    same = minimum_filter(classes, window) == maximum_filter(classes, window)
    truth = np.where(same, classes, np.uint8(UNLABELLED))
    for label, top, left in footprints:
        truth[top : top + SITE_SIZE, left : left + SITE_SIZE] = label
    return truth
