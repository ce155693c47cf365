"""A whole scene at cell resolution."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.legend import Legend
from rsmeta.scenes.pipeline import ClassifiedRows


@dataclass
class CellMap:
    """A whole scene at cell resolution.

    Attributes:
        legend: What the classes mean.
        classes: Values of the legend, that of no class where a cell has no valid pixel; (rows,
            columns).
        confidence: Probability of the most probable class, NaN where there is none; (rows,
            columns).
        valid_pixels: Number of valid pixels in each cell; (rows, columns).
        rows: Number of rows that have been added.
    """

    legend: Legend
    classes: NDArray[np.unsignedinteger[Any]]
    confidence: NDArray[np.float32]
    valid_pixels: NDArray[np.uint32]
    rows: int = 0

    @classmethod
    def empty(cls, shape: tuple[int, int], legend: Legend) -> "CellMap":
        """A map without any class."""
        return cls(
            legend,
            np.full(shape, legend.no_class, dtype=legend.dtype),
            np.full(shape, np.nan, dtype=np.float32),
            np.zeros(shape, dtype=np.uint32),
        )

    def append(
        self, rows: ClassifiedRows, cell: int
    ) -> tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.float32], NDArray[np.uint32]]:
        """Enter classified rows below those already there.

        Returns:
            Classes, confidence and valid pixels of these rows: without class where a cell has no
            valid pixel.
        """
        height, width = rows.valid.shape
        pixels = np.add.reduceat(rows.valid, range(0, height, cell), axis=0, dtype=np.uint32)
        pixels = np.add.reduceat(pixels, range(0, width, cell), axis=1)
        part = slice(self.rows, self.rows + len(pixels))
        values = self.legend.values(rows.classes, rows.confidence)
        self.valid_pixels[part] = pixels
        self.classes[part] = np.where(pixels > 0, values, self.legend.no_class)
        self.confidence[part] = np.where(pixels > 0, rows.confidence, np.nan)
        self.rows = part.stop
        return self.classes[part], self.confidence[part], self.valid_pixels[part]

    def sum_per_class(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Sum of weights, (rows, columns), over the cells of each value of the legend."""
        counts = np.zeros(self.legend.no_class + 1)
        for row, own in zip(self.classes, weights, strict=True):
            counts += np.bincount(row, own, minlength=len(counts))
        return counts[: len(self.legend.names)]

    def pixels_per_class(self) -> dict[str, int]:
        """Number of valid pixels of each class, `unknown` among them where it can occur."""
        found = self.sum_per_class(self.valid_pixels)
        return {name: int(count) for name, count in zip(self.legend.names, found, strict=True)}
