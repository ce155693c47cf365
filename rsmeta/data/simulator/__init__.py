"""A seeded scene simulator: one ground, seen as optical, multispectral and SAR imagery."""

from rsmeta.data.simulator.chips import SimulatedChips, long_tailed_counts, simulate_chips
from rsmeta.data.simulator.render import Radar, render
from rsmeta.data.simulator.sites import CLASSES

__all__ = [
    "CLASSES",
    "Radar",
    "SimulatedChips",
    "long_tailed_counts",
    "render",
    "simulate_chips",
]
