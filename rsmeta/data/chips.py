"""Chip sets: labelled chips from memory or from files, read on demand."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rsmeta.bands import Band
from rsmeta.data.problems import ChipProblem
from rsmeta.errors import DataError
from rsmeta.pixel_size import pixel_size
from rsmeta.rasters import open_raster, read_masked, refuse_palette

if TYPE_CHECKING:
    import geopandas as gpd


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

    def footprints(self) -> "gpd.GeoSeries | None":
        """The chips on the ground, polygons in chip order; None where their place is unknown."""
        return None

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
        return centre_crop(values, self._crop, str(path))

    def describe(self, index: int) -> str:
        """The chip's path."""
        return str(self.paths[index])

    def pixel_size(self, index: int) -> float | None:
        """Geometric mean of a pixel's sides, by the file; see `ChipSet.pixel_size`."""
        with open_raster(self.paths[index], DataError) as dataset:
            size = pixel_size(dataset)
        return None if size is None else (size.x * size.y) ** 0.5


class WrappedChips(ChipSet):
    """Chips of another set, all or some; all else about them is as in the other set.

    Args:
        chips: The other set.
        indexes: (chips,), which of its chips, in order; None for all.
    """

    def __init__(self, chips: ChipSet, indexes: NDArray[np.int64] | None = None) -> None:
        self._chips = chips
        self._indexes = indexes
        self.labels = chips.labels if indexes is None else chips.labels[indexes]

    def _index(self, index: int) -> int:
        return index if self._indexes is None else int(self._indexes[index])

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        return self._chips.read(self._index(index))

    def describe(self, index: int) -> str:
        """The chip's name in the other set."""
        return self._chips.describe(self._index(index))

    def footprints(self) -> "gpd.GeoSeries | None":
        """Those of the other set."""
        found = self._chips.footprints()
        if found is None or self._indexes is None:
            return found
        return found.iloc[self._indexes].reset_index(drop=True)

    def pixel_size(self, index: int) -> float | None:
        """The chip's pixel size in the other set."""
        return self._chips.pixel_size(self._index(index))


class CachedChips(WrappedChips):
    """Keeps what was read from another set in memory, up to a limit.

    Args:
        chips: Where chips come from.
        limit: Bytes to keep at most.
    """

    def __init__(self, chips: ChipSet, limit: int = 2 * 2**30) -> None:
        super().__init__(chips)
        self._left = limit
        self._kept: dict[int, NDArray[np.float32]] = {}

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        if index in self._kept:
            return self._kept[index]
        chip = self._chips.read(index)
        if chip.nbytes <= self._left:
            self._kept[index] = chip
            self._left -= chip.nbytes
        return chip


@dataclass(frozen=True)
class LabelledData:
    """Training and test chips of one recipe.

    Attributes:
        train: Chips to train and validate with.
        test: Chips that only the final test sees.
        classes: Class names; labels are indexes into them.
        bands: Bands of every chip, in order.
        origin: Lines that say what the chips were made from and what was left out, if anything.
        rejected: Chips that are in neither set, since already their entry cannot be used.
    """

    train: ChipSet
    test: ChipSet
    classes: tuple[str, ...]
    bands: tuple[Band, ...]
    origin: tuple[str, ...] = ()
    rejected: tuple[ChipProblem, ...] = ()

    @property
    def train_counts(self) -> NDArray[np.int64]:
        """Training chips of each class, (classes,)."""
        return np.bincount(self.train.labels, minlength=len(self.classes)).astype(np.int64)

    @property
    def imbalance_factor(self) -> float:
        """Training chips of the most frequent class over those of the rarest."""
        return float(self.train_counts.max() / self.train_counts.min())

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


def centre_crop(chip: NDArray[np.float32], side: int | None, name: str) -> NDArray[np.float32]:
    """Cut the middle out of a chip.

    Args:
        chip: (bands, height, width).
        side: Height and width of the middle in pixels; None for the whole chip.
        name: What to call the chip in messages.

    Raises:
        DataError: The chip is smaller.
    """
    if side is None:
        return chip
    height, width = chip.shape[1:]
    if min(height, width) < side:
        raise DataError(f"chip '{name}' has {height} x {width} pixels, fewer than data.crop {side}")
    row, column = (height - side) // 2, (width - side) // 2
    # A view would keep the whole chip in memory for as long as its middle is kept.
    return chip[:, row : row + side, column : column + side].copy()


def encode_labels(
    names: Sequence[str], classes: Sequence[str], where: Sequence[Path | str]
) -> NDArray[np.int64]:
    """Turn class names into indexes.

    Raises:
        DataError: A name is not in the class list.
    """
    index = {name: number for number, name in enumerate(classes)}
    for name, path in zip(names, where, strict=True):
        if name not in index:
            raise DataError(unknown_label(path, name, classes))
    return np.array([index[name] for name in names], dtype=np.int64)


def unknown_label(path: Path | str, name: str, classes: Sequence[str]) -> str:
    """The line for a chip whose label is not in the class list."""
    return (
        f"chip '{path}' has the label '{name}', which is not one of the training classes: "
        f"{', '.join(classes)}; add it to data.classes or drop the chip"
    )
