"""Surface materials of the simulated ground and how each sensor sees them.

Reflectances are round figures in the range of published spectral libraries; backscatter is typical
of high-resolution C/X-band imagery at about 35 degrees of incidence. They are plausible, not
measured: the simulator is for tests, demonstrations and teaching.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Material(IntEnum):
    """Index of a material in the rows of `REFLECTANCE` and `BACKSCATTER`."""

    WATER = 0
    ASPHALT = 1
    CONCRETE = 2
    SOIL = 3
    GRASS = 4
    CROP = 5
    TREES = 6
    RED_ROOF = 7
    GREY_ROOF = 8
    METAL = 9
    DECK = 10


@dataclass(frozen=True)
class Appearance:
    """What a material looks like.

    Attributes:
        reflectance: Surface reflectance in the 12 Sentinel-2 L2A bands, B01 .. B12 without B10.
        backscatter: Sigma nought in dB for VV and VH.
        clutter: Standard deviation of the local variation, relative (optical) and in dB / 4 (SAR).
    """

    reflectance: tuple[float, ...]
    backscatter: tuple[float, float]
    clutter: float


_APPEARANCE: dict[Material, Appearance] = {
    Material.WATER: Appearance(
        (0.040, 0.050, 0.050, 0.030, 0.025, 0.020, 0.020, 0.015, 0.015, 0.010, 0.008, 0.006),
        (-19.0, -27.0),
        0.15,
    ),
    Material.ASPHALT: Appearance(
        (0.080, 0.090, 0.100, 0.110, 0.120, 0.120, 0.130, 0.140, 0.140, 0.140, 0.160, 0.150),
        (-16.5, -24.5),
        0.08,
    ),
    Material.CONCRETE: Appearance(
        (0.200, 0.230, 0.270, 0.300, 0.310, 0.320, 0.330, 0.350, 0.350, 0.360, 0.400, 0.380),
        (-14.5, -22.5),
        0.10,
    ),
    Material.SOIL: Appearance(
        (0.080, 0.100, 0.130, 0.170, 0.200, 0.220, 0.240, 0.270, 0.280, 0.300, 0.360, 0.320),
        (-13.0, -20.5),
        0.15,
    ),
    Material.GRASS: Appearance(
        (0.030, 0.040, 0.080, 0.050, 0.120, 0.280, 0.340, 0.380, 0.400, 0.400, 0.220, 0.110),
        (-12.5, -18.5),
        0.15,
    ),
    Material.CROP: Appearance(
        (0.030, 0.050, 0.090, 0.060, 0.130, 0.300, 0.380, 0.430, 0.450, 0.450, 0.240, 0.120),
        (-10.5, -16.5),
        0.12,
    ),
    Material.TREES: Appearance(
        (0.020, 0.025, 0.045, 0.025, 0.060, 0.180, 0.220, 0.250, 0.260, 0.270, 0.130, 0.060),
        (-8.5, -13.5),
        0.30,
    ),
    Material.RED_ROOF: Appearance(
        (0.080, 0.090, 0.120, 0.250, 0.270, 0.280, 0.290, 0.300, 0.310, 0.310, 0.380, 0.360),
        (-7.0, -15.0),
        0.15,
    ),
    Material.GREY_ROOF: Appearance(
        (0.170, 0.190, 0.210, 0.220, 0.230, 0.240, 0.240, 0.250, 0.260, 0.260, 0.300, 0.290),
        (-8.0, -16.0),
        0.15,
    ),
    Material.METAL: Appearance(
        (0.450, 0.480, 0.500, 0.520, 0.520, 0.520, 0.520, 0.530, 0.530, 0.530, 0.500, 0.480),
        (-2.0, -11.0),
        0.35,
    ),
    Material.DECK: Appearance(
        (0.100, 0.120, 0.130, 0.190, 0.200, 0.200, 0.210, 0.220, 0.220, 0.220, 0.250, 0.240),
        (-4.0, -12.0),
        0.40,
    ),
}

REFLECTANCE: NDArray[np.float32] = np.array(
    [_APPEARANCE[material].reflectance for material in Material], dtype=np.float32
)
BACKSCATTER: NDArray[np.float32] = np.array(
    [_APPEARANCE[material].backscatter for material in Material], dtype=np.float32
)
CLUTTER: NDArray[np.float32] = np.array(
    [_APPEARANCE[material].clutter for material in Material], dtype=np.float32
)
