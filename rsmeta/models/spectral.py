"""Cross-spectral patch embedding: pretrained kernels of some bands made to read other bands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rsmeta.bands import Band
from rsmeta.recipe import SpectralMode

_SAME_WAVELENGTH = 30.0
"""Largest distance in nm between the centres of one band on two satellites."""

_KERNEL_STREAM = 21


@dataclass(frozen=True)
class SpectralKernel:
    """A patch-embedding kernel for new bands, and what it was made of.

    Attributes:
        kernel: (embedding, C, patch, patch).
        mixing: M of `mixing_matrix`, (C, S), scaled like the kernel.
        source: Pretrained kernel, (embedding, S, patch, patch).
    """

    kernel: Tensor
    mixing: Tensor
    source: Tensor


def spectral_kernel(
    weight: Tensor,
    source: Sequence[Band],
    target: Sequence[Band],
    mode: SpectralMode = "auto",
    seed: int = 0,
) -> SpectralKernel:
    """Make a pretrained kernel read other bands; those of pretraining keep theirs bit for bit.

    With `random`, bands without a match get normal noise of the pretrained kernel's standard
    deviation. Independent kernels do not add up as pretrained ones do, so that no factor a row
    would fit: the whole kernel is scaled until its sum over bands, the response to normalised
    bands that all look alike, has the Frobenius norm of the pretrained one's.

    Args:
        weight: Pretrained kernel (embedding, S, patch, patch).
        source: The S bands that it was trained on.
        target: The C bands that it is to read.
        mode: See `rsmeta.recipe.Spectral`.
        seed: Of the noise.
    """
    mixing = mixing_matrix(source, target, mode)
    kernel = adapt_kernel(weight, mixing)
    unread = ~mixing.any(dim=1)
    if mode != "random" or not unread.any():
        return SpectralKernel(kernel, mixing, weight)
    shape = (int(unread.sum()), weight.shape[0], *weight.shape[2:])
    drawn = np.random.default_rng([seed, _KERNEL_STREAM]).standard_normal(shape)
    noise = weight.std() * torch.from_numpy(drawn).to(weight.dtype)
    kernel[:, unread] = noise.transpose(0, 1)
    scale = weight.sum(dim=1).norm() / kernel.sum(dim=1).norm()
    return SpectralKernel(scale * kernel, scale.to(mixing.dtype) * mixing, weight)


def mixing_matrix(
    source: Sequence[Band], target: Sequence[Band], mode: SpectralMode = "auto"
) -> Tensor:
    """How much of each pretrained band's kernel goes into the kernel of each new band.

    A band that is also a source band (same name, or same colour) copies it. What another band
    reads is a matter of the mode:

    - `matched`, `random`: nothing.
    - `spectral`: an optical band interpolates between the two source bands nearest in wavelength,
      a radar band reads luminance.
    - `luminance`: the mean of all source bands, so that the band's tokens are those that
      pretraining gave to a grey photograph, whose normalised bands are alike. The weights of
      Rec. 601 or 709 say how bright colours look to a person; no grey photograph had such tokens.
    - `auto`: as in `matched` where each source band has its match, else as in `spectral`.

    Rows are scaled so that M sums to S: by S over the number of bands that read anything.
    Normalised bands of one scene are strongly correlated, so that their responses add up in
    amplitude, and bands that all look alike then give the tokens of a grey image whatever their
    number. Bands that read nothing add nothing, so they do not count: R, G and B keep their very
    kernels beside bands of zeros.

    Args:
        source: The S bands that the kernel was trained on.
        target: The C bands that it is to read.
        mode: See above.

    Returns:
        Matrix of shape (C, S), float32.
    """
    rows = torch.zeros(len(target), len(source))
    matches = [_matching(band, source) for band in target]
    if mode == "auto":
        mode = "matched" if set(range(len(source))) <= set(matches) else "spectral"
    for index, (band, match) in enumerate(zip(target, matches, strict=True)):
        if match is not None:
            rows[index, match] = 1
        else:
            rows[index] = _UNMATCHED[mode](band, source)
    reading = int(rows.any(dim=1).sum())
    return rows * (len(source) / max(reading, 1))


def adapt_kernel(weight: Tensor, mixing: Tensor) -> Tensor:
    """Mix a patch-embedding kernel over bands, W_b = sum_c M[b, c] W[c].

    Args:
        weight: Pretrained kernel (embedding, S, patch, patch).
        mixing: Matrix (C, S) of `mixing_matrix`.

    Returns:
        Kernel (embedding, C, patch, patch); the very same numbers where M is the identity.
    """
    if torch.equal(mixing, torch.eye(len(mixing))):
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


def _nothing(band: Band, source: Sequence[Band]) -> Tensor:
    return torch.zeros(len(source))


def _luminance(band: Band, source: Sequence[Band]) -> Tensor:
    return torch.full((len(source),), 1 / len(source))


def _nearest_wavelengths(band: Band, source: Sequence[Band]) -> Tensor:
    if band.wavelength is None or any(b.wavelength is None for b in source):
        return _luminance(band, source)
    return _interpolation(band.wavelength, source)


_UNMATCHED: dict[SpectralMode, Callable[[Band, Sequence[Band]], Tensor]] = {
    "matched": _nothing,
    "spectral": _nearest_wavelengths,
    "luminance": _luminance,
    "random": _nothing,
}
"""What a band reads that is none of the source bands, (S,)."""


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
