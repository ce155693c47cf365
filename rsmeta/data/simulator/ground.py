"""The simulated ground: what material covers each pixel and how high it stands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from rsmeta.data.simulator.materials import Material

PIXEL_SIZE = 2.0
"""Ground sampling distance of every simulated product, in metres."""


@dataclass(frozen=True)
class Ground:
    """Arrays of one shape (height, width) that describe the ground and all that stands on it.

    Attributes:
        material: `Material` index of each pixel, uint8.
        elevation: Height above the terrain in metres, float32.
        tone: Deviation from the material's usual look, in units of its clutter; float32.
    """

    material: NDArray[np.uint8]
    elevation: NDArray[np.float32]
    tone: NDArray[np.float32]

    @classmethod
    def of(cls, material: NDArray[np.uint8]) -> "Ground":
        """Flat ground of the given materials."""
        zeros = np.zeros(material.shape, dtype=np.float32)
        return cls(material.copy(), zeros, zeros.copy())

    def paste(self, other: "Ground", row: int, column: int) -> None:
        """Overwrite the window of `other`'s shape at (row, column)."""
        height, width = other.material.shape
        window = (slice(row, row + height), slice(column, column + width))
        self.material[window] = other.material
        self.elevation[window] = other.elevation
        self.tone[window] = other.tone


class Canvas:
    """A square piece of ground and the brushes that paint it.

    Positions are (x, y) in pixels from the centre, angles in radians; later strokes cover earlier
    ones, as roofs cover the ground.
    """

    def __init__(self, size: int, base: Material) -> None:
        self.ground = Ground.of(np.full((size, size), base, dtype=np.uint8))
        axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
        self._x = axis[None, :]
        self._y = axis[:, None]

    def _rotated(
        self, x: float, y: float, angle: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = self._x - np.float32(x), self._y - np.float32(y)
        return dx * cosine + dy * sine, dy * cosine - dx * sine

    def paint(
        self, mask: NDArray[np.bool_], material: Material, height: float = 0.0, tone: float = 0.0
    ) -> None:
        """Cover the pixels of a mask with a material of a height in metres."""
        self.ground.material[mask] = material
        self.ground.elevation[mask] = height
        self.ground.tone[mask] = tone

    def rectangle(
        self, x: float, y: float, length: float, width: float, angle: float
    ) -> NDArray[np.bool_]:
        """Mask of a rectangle whose long side runs along `angle`."""
        along, across = self._rotated(x, y, angle)
        return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)

    def ellipse(
        self, x: float, y: float, length: float, width: float, angle: float
    ) -> NDArray[np.bool_]:
        """Mask of an ellipse whose long axis runs along `angle`."""
        along, across = self._rotated(x, y, angle)
        return (2 * along / length) ** 2 + (2 * across / width) ** 2 <= 1

    def half_plane(self, x: float, y: float, angle: float) -> NDArray[np.bool_]:
        """Mask of all that lies to the left of the line through (x, y) along `angle`."""
        return self._rotated(x, y, angle)[1] > 0

    def stripes(self, period: float, angle: float) -> NDArray[np.float32]:
        """A sine wave across `angle`, in [-1, 1]."""
        across = self._rotated(0.0, 0.0, angle)[1]
        wave: NDArray[np.float32] = np.sin(2 * np.pi * across / period).astype(np.float32)
        return wave


def smooth_noise(
    shape: tuple[int, int], scale: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Gaussian random field with zero mean, unit standard deviation and a correlation length.

    Args:
        shape: Height and width in pixels.
        scale: Standard deviation of the smoothing kernel in pixels.
        generator: Source of randomness.
    """
    white = generator.standard_normal(shape, dtype=np.float32)
    field = gaussian_filter(white, scale, mode="wrap")
    spread = float(field.std())
    return np.asarray(field / spread if spread > 0 else field, dtype=np.float32)
