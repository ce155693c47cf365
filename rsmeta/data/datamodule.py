"""Batches for training and testing: who is drawn in which epoch, and how chips become tensors."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypedDict

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from rsmeta.data.band_dropout import dropped_bands
from rsmeta.data.chips import ChipSet, LabelledData
from rsmeta.data.outer_split import OuterSplitter, class_balanced_draw, random_draw
from rsmeta.data.statistics import BandStatistics
from rsmeta.data.transforms import build_geometry
from rsmeta.recipe import GeometryName, Recipe

_ORDER_STREAM, _GEOMETRY_STREAM = 4, 5
_BATCH_SIZE = 64  # where no gradient is taken
_CHIPS_A_CLASS = 4  # of `balanced_batches`: hundreds of tokens a class


class Batch(TypedDict):
    """Chips and classes under TorchGeo's keys.

    image: (batch, bands, size, size), float32, physical units; the training mean where a chip has
    no data. Or (batch, tokens, width) after `ChipDataModule.keep_tokens`. label: (batch,), int64.
    """

    image: Tensor
    label: Tensor


class ChipDraw(NamedTuple):
    """One use of a chip: the epoch seeds its augmentation."""

    epoch: int
    chip: int


class ChipDataset(Dataset[tuple[Tensor, int]]):
    """Chips as tensors of one size.

    Args:
        chips: The chips.
        statistics: Training statistics; pixels without data become the mean.
        size: Side in pixels that chips are resized to.
        geometry: Name of the geometric augmentation.
        seed: Seed of the augmentation.
        band_dropout: Probability with which each whole band becomes its mean.
    """

    def __init__(
        self,
        chips: ChipSet,
        statistics: BandStatistics,
        size: int,
        geometry: GeometryName,
        seed: int,
        band_dropout: float = 0.0,
    ) -> None:
        self._chips = chips
        self._fill = torch.tensor(statistics.mean).view(-1, 1, 1)
        self._size = size
        self._geometry = build_geometry(geometry)
        self._seed = seed
        self._band_dropout = band_dropout

    def __len__(self) -> int:
        return len(self._chips)

    def __getitem__(self, draw: ChipDraw | int) -> tuple[Tensor, int]:
        epoch, index = draw if isinstance(draw, ChipDraw) else (0, draw)
        key = np.random.SeedSequence([self._seed, _GEOMETRY_STREAM, epoch, index])
        seed = int(key.generate_state(1)[0])
        chip = torch.from_numpy(self._geometry(self._chips.read(index), seed))
        chip = torch.where(torch.isfinite(chip), chip, self._fill)
        if self._band_dropout > 0:
            dropped = dropped_bands(len(chip), self._band_dropout, (self._seed, epoch, index))
            chip = torch.where(torch.from_numpy(dropped)[:, None, None], self._fill, chip)
        return resize(chip[None], self._size)[0], int(self._chips.labels[index])


class TokenDataset(Dataset[tuple[Tensor, int]]):
    """Chips as tokens that the frozen beginning of a model has made of them.

    Args:
        tokens: (chips, tokens, width).
        labels: (chips,), int64.
    """

    def __init__(self, tokens: Tensor, labels: NDArray[np.int64]) -> None:
        self._tokens = tokens
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, draw: ChipDraw | int) -> tuple[Tensor, int]:
        index = draw.chip if isinstance(draw, ChipDraw) else draw
        return self._tokens[index], int(self._labels[index])


def resize(images: Tensor, size: int) -> Tensor:
    """Resize (batch, bands, height, width) to a square, antialiased; the same numbers if it is."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=[size, size], mode="bilinear", antialias=True)


def collate(items: Sequence[tuple[Tensor, int]]) -> Batch:
    """Stack chips into a batch."""
    return Batch(
        image=torch.stack([image for image, _ in items]),
        label=torch.tensor([label for _, label in items], dtype=torch.int64),
    )


class EpochSampler(Sampler[ChipDraw]):
    """The inner loop's chips of each epoch in random order; a function of seed and epoch alone.

    Args:
        count: Number of training chips.
        splitter: Keeps the epoch's outer part out; None to use all chips.
        seed: Seed of the order.
    """

    def __init__(self, count: int, splitter: OuterSplitter | None, seed: int) -> None:
        self._count = count
        self._splitter = splitter
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this."""
        self._epoch = epoch

    def _members(self) -> NDArray[np.int64]:
        if self._splitter is None:
            return np.arange(self._count)
        return self._splitter.split(self._epoch).inner

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[ChipDraw]:
        generator = np.random.default_rng([self._seed, _ORDER_STREAM, self._epoch])
        order = generator.permutation(self._members())
        return (ChipDraw(self._epoch, int(index)) for index in order)


_TrainingSet = ChipDataset | TokenDataset


class ChipDataModule(L.LightningDataModule):
    """Training, validation and test batches of a recipe.

    Args:
        recipe: The recipe.
        data: Its chips.
        statistics: Band statistics of the training chips.
    """

    def __init__(self, recipe: Recipe, data: LabelledData, statistics: BandStatistics) -> None:
        super().__init__()
        self._recipe = recipe
        size, seed = recipe.backbone.image_size, recipe.seed
        geometry = recipe.augmentation.geometry
        dropout = recipe.augmentation.band_dropout
        self._train: _TrainingSet = ChipDataset(
            data.train, statistics, size, geometry, seed, dropout
        )
        self._plain_train: _TrainingSet = ChipDataset(data.train, statistics, size, "none", seed)
        self._test = ChipDataset(data.test, statistics, size, "none", seed)
        self._labels = data.train.labels
        outer = recipe.outer
        fraction = outer.fraction if outer.held_out else None
        self.splitter = (
            OuterSplitter(self._labels, fraction, outer.resample, seed)
            if recipe.learns_modulators
            else None
        )

    @torch.no_grad()
    def keep_tokens(self, tokens_of: Callable[[Tensor], Tensor]) -> None:
        """From now on give, for training chips, tokens in the place of images.

        Args:
            tokens_of: Maps images (batch, bands, size, size) to tokens (batch, tokens, width).
        """
        tokens = [tokens_of(batch["image"]).cpu() for batch in self.plain_train_dataloader()]
        self._train = self._plain_train = TokenDataset(torch.cat(tokens), self._labels)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Batches of the inner loop."""
        return DataLoader(
            self._train,
            batch_size=self._recipe.inner.batch_size,
            sampler=EpochSampler(len(self._train), self.splitter, self._recipe.seed),
            collate_fn=collate,
        )

    def plain_train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """All training chips once, in order, without augmentation."""
        return self._in_order(self._plain_train)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """All test chips once, in order."""
        return self._in_order(self._test)

    def outer_batches(self, epoch: int, step: int) -> list[Batch]:
        """The validation batches of one outer step; a function of seed, epoch and step alone."""
        if self.splitter is None:
            return []
        outer = self._recipe.outer
        pool = self.splitter.split(epoch).outer
        key = (self._recipe.seed, epoch, step)
        size = outer.batch_size * outer.batches
        if outer.balanced:
            drawn = class_balanced_draw(self._labels, pool, size, key)
        else:
            drawn = random_draw(pool, size, key)
        return [
            collate([self._train[ChipDraw(epoch, int(index))] for index in part])
            for part in np.split(drawn, outer.batches)
        ]

    def balanced_batches(self) -> Iterator[Batch]:
        """Training chips of all classes alike, without augmentation; always the same ones."""
        everything = np.arange(len(self._labels))
        size = _CHIPS_A_CLASS * len(np.unique(self._labels))
        drawn = class_balanced_draw(self._labels, everything, size, (self._recipe.seed,))
        for start in range(0, size, _BATCH_SIZE):
            part = drawn[start : start + _BATCH_SIZE]
            yield collate([self._plain_train[int(index)] for index in part])

    def _in_order(self, dataset: _TrainingSet) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(dataset, batch_size=_BATCH_SIZE, shuffle=False, collate_fn=collate)
