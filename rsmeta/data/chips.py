"""Chip sets: labelled chips from memory or from files, read on demand."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsmeta.bands import Band
from rsmeta.errors import DataError
from rsmeta.pixel_size import pixel_size
from rsmeta.rasters import open_raster, read_masked, refuse_palette


class ChipSet(ABC):
    """Labelled chips.

    Attributes:
        labels: (chips,), int64, indexes into the class list.
    """

    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, index: int) -> NDArray[np.float32]:
        """The chip, (bands, height, width) in physical units, NaN where it has no data.

        Raises:
            DataError: The chip cannot be read or does not have the bands of the set.
        """

    @abstractmethod
    def describe(self, index: int) -> str:
        """What to call the chip in messages: its path, where it has one."""

    def pixel_size(self, index: int) -> float | None:
        """Side of the chip's pixels on the ground in metres; None where it is not known."""
        return None


class ChipArray(ChipSet):
    """Chips in memory, (chips, bands, height, width), with pixels of one size in metres."""

    def __init__(
        self,
        images: NDArray[np.float32],
        labels: NDArray[np.int64],
        pixel_size: float | None = None,
    ) -> None:
        self._images = images
        self._pixel_size = pixel_size
        self.labels = labels

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        image: NDArray[np.float32] = self._images[index]
        return image

    def describe(self, index: int) -> str:
        """The chip's number."""
        return f"chip {index}"

    def pixel_size(self, index: int) -> float | None:
        """The same for all chips; see `ChipSet.pixel_size`."""
        return self._pixel_size


class ChipFiles(ChipSet):
    """Chips in raster files of any size, number of bands and data type.

    Args:
        paths: One file a chip.
        labels: (chips,), int64.
        bands: Number of bands every file must have.
        crop: Side of the centre crop in pixels, or None for the whole chip.
    """

    def __init__(
        self, paths: Sequence[Path], labels: NDArray[np.int64], bands: int, crop: int | None
    ) -> None:
        self.paths = tuple(paths)
        self.labels = labels
        self._bands = bands
        self._crop = crop

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        path = self.paths[index]
        with open_raster(path, DataError) as dataset:
            refuse_palette(dataset, DataError)
            values, _ = read_masked(dataset)
        if values.shape[0] != self._bands:
            raise DataError(
                f"chip '{path}' has {values.shape[0]} bands; the recipe names {self._bands}: "
                "set data.bands to the bands of the chips, in file order"
            )
        if self._crop is None:
            return values
        height, width = values.shape[1:]
        if min(height, width) < self._crop:
            raise DataError(
                f"chip '{path}' has {height} x {width} pixels, fewer than data.crop {self._crop}"
            )
        row, column = (height - self._crop) // 2, (width - self._crop) // 2
        return values[:, row : row + self._crop, column : column + self._crop]

    def describe(self, index: int) -> str:
        """The chip's path."""
        return str(self.paths[index])

    def pixel_size(self, index: int) -> float | None:
        """Geometric mean of a pixel's sides, by the file; see `ChipSet.pixel_size`."""
        with open_raster(self.paths[index], DataError) as dataset:
            size = pixel_size(dataset)
        return None if size is None else (size.x * size.y) ** 0.5


class CachedChips(ChipSet):
    """Keeps what was read from another set in memory, up to a limit; what it reads is checked.

    Args:
        chips: Where chips come from.
        limit: Bytes to keep at most.
    """

    def __init__(self, chips: ChipSet, limit: int = 2 * 2**30) -> None:
        self._chips = chips
        self._left = limit
        self._kept: dict[int, NDArray[np.float32]] = {}
        self.labels = chips.labels

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        if index in self._kept:
            return self._kept[index]
        chip = self._chips.read(index)
        if not np.isfinite(chip).any():
            raise DataError(f"chip '{self.describe(index)}' has no valid pixel")
        if chip.nbytes <= self._left:
            self._kept[index] = chip
            self._left -= chip.nbytes
        return chip

    def describe(self, index: int) -> str:
        """The chip's name in the other set."""
        return self._chips.describe(index)

    def pixel_size(self, index: int) -> float | None:
        """The chip's pixel size in the other set."""
        return self._chips.pixel_size(index)


@dataclass(frozen=True)
class LabelledData:
    """Training and test chips of one recipe.

    Attributes:
        train: Chips to train and validate with.
        test: Chips that only the final test sees.
        classes: Class names; labels are indexes into them.
        bands: Bands of every chip, in order.
    """

    train: ChipSet
    test: ChipSet
    classes: tuple[str, ...]
    bands: tuple[Band, ...]

    @property
    def train_counts(self) -> NDArray[np.int64]:
        """Training chips of each class, (classes,)."""
        return np.bincount(self.train.labels, minlength=len(self.classes)).astype(np.int64)

    @property
    def tile_size(self) -> int:
        """Most frequent shorter side of the training chips, in pixels: the tile of a scene."""
        sides = Counter(min(self.train.read(i).shape[1:]) for i in range(len(self.train)))
        return int(sides.most_common(1)[0][0])

    @property
    def pixel_size(self) -> float | None:
        """Median side of the training chips' pixels in metres; None where no chip has one."""
        sizes = [self.train.pixel_size(index) for index in range(len(self.train))]
        known = [size for size in sizes if size is not None]
        return float(np.median(known)) if known else None


def encode_labels(
    names: Sequence[str], classes: Sequence[str], where: Sequence[Path]
) -> NDArray[np.int64]:
    """Turn class names into indexes.

    Raises:
        DataError: A name is not in the class list.
    """
    index = {name: number for number, name in enumerate(classes)}
    for name, path in zip(names, where, strict=True):
        if name not in index:
            raise DataError(
                f"chip '{path}' has the label '{name}', which is not one of the training "
                f"classes: {', '.join(classes)}; add it to data.classes or drop the chip"
            )
    return np.array([index[name] for name in names], dtype=np.int64)
