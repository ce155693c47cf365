"""Cross-spectral patch embedding: pretrained kernels of some bands made to read other bands."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rsmeta.bands import Band

_SAME_WAVELENGTH = 30.0
"""Largest distance in nm between the centres of one band on two satellites."""


def mixing_matrix(source: Sequence[Band], target: Sequence[Band]) -> Tensor:
    """How much of each pretrained band's kernel goes into the kernel of each new band.

    A band that is also a source band (same name, or same colour) copies it. Another optical band
    interpolates between the two source bands nearest in wavelength. A radar band reads every
    source band alike, so that it is treated as a grey image. Rows are scaled by
    len(source) / len(target), so that the weights sum to len(source) and tokens keep their
    magnitude whatever the number of bands; a permutation of the source bands is not scaled.

    Args:
        source: The S bands that the kernel was trained on.
        target: The C bands that it is to read.

    Returns:
        Matrix of shape (C, S), float32.
    """
    rows = torch.zeros(len(target), len(source))
    for index, band in enumerate(target):
        match = _matching(band, source)
        if match is not None:
            rows[index, match] = 1
        elif band.wavelength is None or any(b.wavelength is None for b in source):
            rows[index] = 1 / len(source)
        else:
            rows[index] = _interpolation(band.wavelength, source)
    return rows * (len(source) / len(target))


def adapt_kernel(weight: Tensor, mixing: Tensor) -> Tensor:
    """Mix a patch-embedding kernel over bands, W_b = sum_c M[b, c] W[c].

    Args:
        weight: Pretrained kernel (embedding, S, patch, patch).
        mixing: Matrix (C, S) of `mixing_matrix`.

    Returns:
        Kernel (embedding, C, patch, patch); the very same numbers where M is the identity.
    """
    if torch.equal(mixing, torch.eye(*mixing.shape)):
        return weight
    return torch.einsum("cs,dsxy->dcxy", mixing.to(weight.dtype), weight)


def _matching(band: Band, source: Sequence[Band]) -> int | None:
    for index, candidate in enumerate(source):
        if _same_band(candidate, band) or (
            band.colour is not None and candidate.colour == band.colour
        ):
            return index
    return None


def _same_band(one: Band, other: Band) -> bool:
    """Whether bands of the same name are the same: B3 is red on Landsat 5 and green on 8."""
    if one.name != other.name or one.is_radar != other.is_radar:
        return False
    if one.wavelength is None or other.wavelength is None:
        return True
    return abs(one.wavelength - other.wavelength) <= _SAME_WAVELENGTH


def _interpolation(wavelength: float, source: Sequence[Band]) -> Tensor:
    row = torch.zeros(len(source))
    order = sorted(range(len(source)), key=lambda i: source[i].wavelength or 0.0)
    waves = [source[i].wavelength or 0.0 for i in order]
    if wavelength <= waves[0]:
        row[order[0]] = 1
    elif wavelength >= waves[-1]:
        row[order[-1]] = 1
    else:
        upper = next(i for i, wave in enumerate(waves) if wave > wavelength)
        share = (wavelength - waves[upper - 1]) / (waves[upper] - waves[upper - 1])
        row[order[upper]], row[order[upper - 1]] = share, 1 - share
    return row
