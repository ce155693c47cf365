"""Radiometric changes to batches on their device: gain and speckle for SAR, jitter for optical.

Plain torch: kornia's intensity augmentations expect values in [0, 1] or draw from the global random
numbers, and it has no speckle. Each chip has a generator of its own, so that what happens to it
depends on its seed alone: not on its batch, nor on how many processes load chips. Devices of
different kinds draw different numbers from the same seed.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rsmeta.bands import Band, Unit
from rsmeta.data.statistics import BandStatistics
from rsmeta.errors import RecipeError
from rsmeta.recipe import Augmentation

Radiometry = Callable[[Tensor, Tensor], Tensor]
"""Maps images (batch, bands, height, width) and seeds (batch,) to images; see `Batch`."""

_Change = Callable[[Tensor, torch.Generator], Tensor]
"""Maps a chip (bands, height, width), in physical units, to a chip."""

_LOOKS, _GAIN_DECIBELS, _JITTER = 10, 1.0, 0.1


def build_radiometry(
    config: Augmentation, bands: Sequence[Band], statistics: BandStatistics
) -> Radiometry:
    """The radiometric augmentation of a recipe.

    Args:
        config: Recipe section.
        bands: Bands of the chips, in order.
        statistics: Statistics of the training chips, the units of the optical jitter.

    Raises:
        RecipeError: The bands are not of the kind that the change is made for.
    """
    if config.radiometry == "none":
        return lambda images, seeds: images
    wants_radar = config.radiometry == "sar"
    for band in bands:
        if band.is_radar != wants_radar:
            kind, other = ("an optical", "optical") if wants_radar else ("a radar", "sar")
            raise RecipeError(
                [
                    f"augmentation.radiometry: {config.radiometry!r}: '{band.name}' is {kind} "
                    f"band; set it to {other} or none"
                ]
            )
    change = _sar(config, bands) if wants_radar else _optical(config, statistics)

    def radiometry(images: Tensor, seeds: Tensor) -> Tensor:
        changed = []
        for image, seed in zip(images, seeds.tolist(), strict=True):
            generator = torch.Generator(images.device).manual_seed(seed)
            changed.append(change(image, generator))
        return torch.stack(changed)

    return radiometry


def scale_power(values: Tensor, factor: Tensor, unit: Unit) -> Tensor:
    """Values of a radar band after its power is multiplied by a factor.

    Args:
        values: Values of the band, in its unit.
        factor: Factor of the power, > 0, of a shape that broadcasts with the values.
        unit: Unit of the band; digital numbers are amplitudes, as in detected products.
    """
    if unit is Unit.DECIBEL:
        return values + 10 * factor.log10()
    return values * factor.sqrt()


def speckle(shape: Sequence[int], looks: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Multiplicative speckle of a multi-look power image: gamma distributed, mean 1, variance 1/L.

    The mean of L independent exponential variables, the powers of L looks of fully developed
    speckle, is gamma distributed with shape L and scale 1/L (Goodman 1976, "Some fundamental
    properties of speckle").

    Args:
        shape: Shape of the result.
        looks: Number of looks L, >= 1.
        like: Tensor whose type and device the result has.
        generator: Source of the draw, on that device.
    """
    return like.new_empty((looks, *shape)).exponential_(generator=generator).mean(dim=0)


def _sar(config: Augmentation, bands: Sequence[Band]) -> _Change:
    """P' = P * 10^(g / 10) * s: a gain g for each band, uniform in dB, and speckle s."""
    looks = _LOOKS if config.speckle_looks is None else config.speckle_looks
    gain = _GAIN_DECIBELS if config.gain_decibels is None else config.gain_decibels
    units = [band.unit for band in bands]

    def change(image: Tensor, generator: torch.Generator) -> Tensor:
        decibels = gain * _uniform((len(units), 1, 1), image, generator)
        factor = 10 ** (decibels / 10) * speckle(image.shape, looks, image, generator)
        scaled = [scale_power(*band) for band in zip(image, factor, units, strict=True)]
        return torch.stack(scaled)

    return change


def _optical(config: Augmentation, statistics: BandStatistics) -> _Change:
    """Normalised values z become (1 + a) z + b: a gain and an offset for each band, uniform."""
    jitter = _JITTER if config.jitter is None else config.jitter
    shape = (len(statistics.mean), 1, 1)

    def change(image: Tensor, generator: torch.Generator) -> Tensor:
        mean, std = (
            torch.tensor(values, dtype=image.dtype, device=image.device).view(shape)
            for values in (statistics.mean, statistics.std)
        )
        gain, offset = (jitter * _uniform(shape, image, generator) for _ in range(2))
        return image + gain * (image - mean) + offset * std

    return change


def _uniform(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform in [-1, 1)."""
    return like.new_empty(tuple(shape)).uniform_(-1, 1, generator=generator)
