"""Rendering: the same ground as optical RGB, as multispectral and as SAR."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator.ground import PIXEL_SIZE, Ground, smooth_noise
from rsmeta.data.simulator.materials import BACKSCATTER, CLUTTER, REFLECTANCE

_INCIDENCE = np.deg2rad(38.0)
_SUN_ZENITH = np.deg2rad(45.0)
_NOISE_EQUIVALENT_SIGMA_NOUGHT = 10 ** (-30.0 / 10)  # linear power
_RED_GREEN_BLUE = [3, 2, 1]  # indexes into the 12 multispectral bands


@dataclass(frozen=True)
class Radar:
    """Settings of the SAR rendering.

    Attributes:
        looks: Number of looks L; speckle is gamma-distributed with mean 1 and variance 1/L.
    """

    looks: float = 3.0


def render(
    ground: Ground,
    sensor_name: SimulatedSensor,
    generator: np.random.Generator,
    radar: Radar | None = None,
) -> NDArray[np.float32]:
    """Render the ground as one sensor sees it.

    Args:
        ground: Ground of shape (height, width).
        sensor_name: Which sensor.
        generator: Source of noise and speckle.
        radar: SAR settings; ignored by the optical sensors.

    Returns:
        Array (bands, height, width): digital numbers 0..255 for optical, reflectance for
        multispectral, sigma nought in dB (VV, VH) for SAR.
    """
    if sensor_name is SimulatedSensor.SAR:
        return _backscatter(ground, generator, radar or Radar())
    reflectance = _reflectance(ground, generator)
    if sensor_name is SimulatedSensor.MULTISPECTRAL:
        return reflectance
    exposure = np.float32(generator.uniform(420, 620))
    numbers: NDArray[np.float32] = np.rint(reflectance[_RED_GREEN_BLUE] * exposure)
    return np.clip(numbers, 0, 255)


def _cast_shadow(
    elevation: NDArray[np.float32], step: tuple[int, int], drop: float
) -> NDArray[np.bool_]:
    """Pixels hidden behind something higher; `drop` is the fall of the ray in metres a step."""
    shadow = np.zeros(elevation.shape, dtype=np.bool_)
    reach = int(np.ceil(float(elevation.max()) / drop))
    height, width = elevation.shape
    for count in range(1, reach + 1):
        down, right = count * step[0], count * step[1]
        if abs(down) >= height or abs(right) >= width:
            break
        hidden = (slice(max(0, down), height + min(0, down)), slice(right, width))
        caster = (slice(max(0, -down), height - max(0, down)), slice(0, width - right))
        shadow[hidden] |= elevation[caster] - elevation[hidden] > count * drop
    return shadow


def _reflectance(ground: Ground, generator: np.random.Generator) -> NDArray[np.float32]:
    shape = ground.material.shape
    clutter = CLUTTER[ground.material] * (ground.tone + 0.5 * smooth_noise(shape, 1.0, generator))
    light = np.clip(1 + clutter, 0.3, 2.0)
    diagonal = PIXEL_SIZE * np.sqrt(2)
    shadow = _cast_shadow(ground.elevation, (-1, 1), float(diagonal / np.tan(_SUN_ZENITH)))
    light[shadow] *= np.float32(0.35)
    bands = REFLECTANCE.shape[1]
    haze = np.float32(generator.uniform(0, 0.015))
    reflectance = np.empty((bands, *shape), dtype=np.float32)
    for band in range(bands):
        noise = generator.standard_normal(shape, dtype=np.float32)
        reflectance[band] = REFLECTANCE[ground.material, band] * light + haze
        reflectance[band] += np.float32(0.004) * noise
    return np.clip(reflectance, 0, 1, out=reflectance)


def _backscatter(
    ground: Ground, generator: np.random.Generator, radar: Radar
) -> NDArray[np.float32]:
    shape = ground.material.shape
    clutter = 4 * CLUTTER[ground.material]
    clutter *= ground.tone + 0.5 * smooth_noise(shape, 1.0, generator)
    # The radar looks along +x: shadow falls behind an object, and the step that faces the radar
    # returns the double bounce between ground and wall.
    shadow = _cast_shadow(ground.elevation, (0, 1), float(PIXEL_SIZE / np.tan(_INCIDENCE)))
    rise = np.zeros(shape, dtype=np.float32)
    rise[:, :-1] = ground.elevation[:, 1:] - ground.elevation[:, :-1]
    bounce = np.clip(rise - 1.5, 0, 12)
    bounce[:, 1:] = np.maximum(bounce[:, 1:], bounce[:, :-1])
    decibel = np.empty((BACKSCATTER.shape[1], *shape), dtype=np.float32)
    calibration = np.float32(generator.normal(0, 0.7))
    for band, gain in enumerate((1.0, 0.6)):
        level = BACKSCATTER[ground.material, band] + clutter + calibration
        level += np.float32(gain) * bounce
        power = 10 ** (level / 10)
        power[shadow] = 0
        power += np.float32(_NOISE_EQUIVALENT_SIGMA_NOUGHT)
        power *= generator.standard_gamma(radar.looks, shape, dtype=np.float32) / radar.looks
        # Gamma draws can underflow to 0 for few looks; the floor keeps the logarithm finite.
        decibel[band] = 10 * np.log10(np.maximum(power, 1e-6))
    return decibel
