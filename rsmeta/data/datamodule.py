"""Batches for training and testing: who is drawn in which epoch, and how chips become tensors."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NotRequired, TypedDict

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from rsmeta.data.band_dropout import dropped_bands
from rsmeta.data.chips import ChipSet, LabelledData
from rsmeta.data.outer_split import OuterSplitter, class_balanced_draw, random_draw
from rsmeta.data.processes import this_process
from rsmeta.data.radiometry import build_radiometry
from rsmeta.data.samplers import ChipDraw, EpochSampler
from rsmeta.data.statistics import BandStatistics
from rsmeta.data.transforms import build_geometry
from rsmeta.recipe import Augmentation, Recipe

_GEOMETRY_STREAM, _RADIOMETRY_STREAM = 5, 12
_BATCH_SIZE = 64  # where no gradient is taken
_COVERED = 0.5  # share of a resized pixel that has data, above which it counts as data
_FIRST_CHIPS = 64  # of `first_batches`, at least where there are so many
_CHIPS_A_CLASS = 4  # of `balanced_batches`: hundreds of tokens a class


class Batch(TypedDict):
    """Chips and classes under TorchGeo's keys.

    image: (batch, bands, size, size), float32, physical units; the training mean where a chip has
    no data. Or (batch, tokens, width) after `ChipDataModule.keep_tokens`. label: (batch,), int64.
    Where `ChipDataModule.augmented` has still to change the radiometry: seed: (batch,), int64, of
    each chip's change, and valid: (batch, bands, size, size), bool, where a chip has data.
    """

    image: Tensor
    label: Tensor
    seed: NotRequired[Tensor]
    valid: NotRequired[Tensor]


class Chip(NamedTuple):
    """One chip of a batch; see `Batch`."""

    image: Tensor
    label: int
    seed: int | None = None
    valid: Tensor | None = None


class ChipDataset(Dataset[Chip]):
    """Chips as tensors of one size.

    Args:
        chips: The chips.
        statistics: Training statistics; pixels without data become the mean.
        size: Side in pixels that chips are resized to.
        augmentation: How chips are changed; None for not at all.
        seed: Seed of the changes.
    """

    def __init__(
        self,
        chips: ChipSet,
        statistics: BandStatistics,
        size: int,
        augmentation: Augmentation | None,
        seed: int,
    ) -> None:
        self._chips = chips
        self._fill = np.array(statistics.mean, dtype=np.float32)[:, None, None]
        self._size = size
        config = augmentation or Augmentation()
        self._geometry = build_geometry(config.geometry, config.crop_scale)
        self._radiometry = config.radiometry != "none"
        self._seed = seed
        self._band_dropout = config.band_dropout

    def __len__(self) -> int:
        return len(self._chips)

    def __getitem__(self, draw: ChipDraw | int) -> Chip:
        draw = draw if isinstance(draw, ChipDraw) else ChipDraw(0, draw)
        chip = self._geometry(
            self._chips.read(draw.chip), self._change_seed(draw, _GEOMETRY_STREAM)
        )
        label = int(self._chips.labels[draw.chip])
        valid = np.isfinite(chip)
        if self._band_dropout > 0:
            key = (self._seed, draw.epoch, draw.chip, draw.turn)
            dropped = dropped_bands(len(chip), self._band_dropout, key)
            valid = valid & ~dropped[:, None, None]
        if not valid.all():
            chip = np.where(valid, chip, self._fill)
        # Chips of a memory-mapped file are not ours to write to.
        image = resize(torch.from_numpy(np.require(chip, requirements="W"))[None], self._size)[0]
        if not self._radiometry:
            return Chip(image, label)
        covered = resize(torch.from_numpy(valid)[None].float(), self._size)[0]
        seed = self._change_seed(draw, _RADIOMETRY_STREAM)
        return Chip(image, label, seed, covered > _COVERED)

    def _change_seed(self, draw: ChipDraw, stream: int) -> int:
        """Seed of one of the changes to a chip: of its own for each use of the chip."""
        key = [self._seed, stream, draw.epoch, draw.chip]
        # A first use is without the word: seed lists are zero-padded, but to four words only.
        sequence = np.random.SeedSequence(key + [draw.turn] * (draw.turn > 0))
        return int(sequence.generate_state(1)[0])


class TokenDataset(Dataset[Chip]):
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

    def __getitem__(self, draw: ChipDraw | int) -> Chip:
        index = draw.chip if isinstance(draw, ChipDraw) else draw
        return Chip(self._tokens[index], int(self._labels[index]))


def resize(images: Tensor, size: int) -> Tensor:
    """Resize (batch, bands, height, width) to a square, antialiased; the same numbers if it is."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=[size, size], mode="bilinear", antialias=True)


def collate(chips: Sequence[Chip]) -> Batch:
    """Stack chips into a batch."""
    batch = Batch(
        image=torch.stack([chip.image for chip in chips]),
        label=torch.tensor([chip.label for chip in chips], dtype=torch.int64),
    )
    seeds = [chip.seed for chip in chips if chip.seed is not None]
    if seeds:
        batch["seed"] = torch.tensor(seeds, dtype=torch.int64)
        batch["valid"] = torch.stack([chip.valid for chip in chips if chip.valid is not None])
    return batch


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
        changes = recipe.augmentation
        self._train: _TrainingSet = ChipDataset(data.train, statistics, size, changes, seed)
        self._plain_train: _TrainingSet = ChipDataset(data.train, statistics, size, None, seed)
        self._test = ChipDataset(data.test, statistics, size, None, seed)
        self._radiometry = build_radiometry(changes, data.bands, statistics)
        self._labels = data.train.labels
        outer = recipe.outer
        fraction = outer.fraction if outer.held_out else None
        learning = recipe.inner.epochs - outer.final_epochs
        self.splitter = (
            OuterSplitter(
                self._labels,
                fraction,
                outer.resample,
                seed,
                learning,
                outer.most_per_class,
                outer.scale_search,
            )
            if recipe.learns_modulators
            else None
        )
        self._done: tuple[int, int] = (0, 0)

    def skip(self, epoch: int, batches: int) -> None:
        """Begin one epoch after so many of its batches, which were used already."""
        self._done = epoch, batches

    @torch.no_grad()
    def keep_tokens(self, tokens_of: Callable[[Tensor], Tensor]) -> None:
        """From now on give, for training chips, tokens in the place of images.

        Args:
            tokens_of: Maps images (batch, bands, size, size) to tokens (batch, tokens, width).
        """
        tokens = [tokens_of(batch["image"]).cpu() for batch in self.plain_train_dataloader()]
        self._train = self._plain_train = TokenDataset(torch.cat(tokens), self._labels)

    def train_dataloader(self) -> DataLoader[Chip]:
        """This process's batches of the inner loop, still without radiometric changes."""
        rank, processes = this_process()
        size = self._recipe.inner.batch_size // processes
        sampler, (epoch, batches) = self._sampler(rank, processes), self._done
        sampler.skip(epoch, batches * size)
        if self.trainer is not None:
            # Lightning asks for the length before it tells the sampler the epoch.
            sampler.set_epoch(self.trainer.current_epoch)
        return DataLoader(
            self._train,
            batch_size=size,
            sampler=sampler,
            collate_fn=collate,
            # Of its own: how often an epoch's batches are begun must not move the global numbers.
            generator=torch.Generator(),
        )

    def _sampler(self, rank: int = 0, processes: int = 1) -> EpochSampler:
        inner, seed = self._recipe.inner, self._recipe.seed
        return EpochSampler(self._labels, self.splitter, inner, seed, rank, processes)

    def inner_draw(self, epoch: int, batch: int) -> NDArray[np.int64]:
        """Chips of one batch of the inner loop, of all processes together."""
        size, sampler = self._recipe.inner.batch_size, self._sampler()
        sampler.set_epoch(epoch)
        draws = [draw.chip for draw in sampler]
        return np.array(draws[batch * size :][:size], dtype=np.int64)

    def first_batches(self) -> Iterator[Batch]:
        """Chips that the inner loop begins with, without augmentation; for all processes alike."""
        size = self._recipe.inner.batch_size
        batches = range(math.ceil(_FIRST_CHIPS / size))
        drawn = [self.inner_draw(0, batch) for batch in batches]
        return self.plain_batches(np.concatenate(drawn))

    def inner_steps(self, epochs: range | None = None) -> int:
        """Steps of the inner loop over some epochs, which differ in length; default: over all."""
        _, processes = this_process()
        sampler, size = self._sampler(processes=processes), self._recipe.inner.batch_size
        steps = 0
        for epoch in range(self._recipe.inner.epochs) if epochs is None else epochs:
            sampler.set_epoch(epoch)
            steps += math.ceil(len(sampler) * processes / size)
        return steps

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Change the radiometry on the device; Lightning calls this."""
        return self.augmented(batch)

    def augmented(self, batch: Batch) -> Batch:
        """The batch after the radiometric changes that it has still to undergo, on its device."""
        if "seed" not in batch:
            return batch
        changed = self._radiometry(batch["image"], batch["seed"])
        image = torch.where(batch["valid"], changed, batch["image"])
        return Batch(image=image, label=batch["label"])

    def plain_train_dataloader(self) -> DataLoader[Chip]:
        """All training chips once, in order, without augmentation."""
        return self._in_order(self._plain_train)

    def test_dataloader(self) -> DataLoader[Chip]:
        """All test chips once, in order."""
        return self._in_order(self._test)

    def outer_batches(self, epoch: int, step: int) -> list[Batch]:
        """This process's part of the validation batches of an outer step.

        They are a function of seed, epoch and step alone.

        They are augmented as those of the inner loop are, and so `augmented` has still to be used.
        """
        if self.splitter is None:
            return []
        rank, processes = this_process()
        drawn = self.outer_draw(epoch, step)
        # Rare chips come often in an epoch, and each time are augmented anew.
        draws = [
            ChipDraw(epoch, int(chip), step * drawn.size + use)
            for use, chip in enumerate(drawn.flat)
        ]
        size = drawn.shape[1]
        return [
            collate([self._train[draw] for draw in draws[start + rank : start + size : processes]])
            for start in range(0, drawn.size, size)
        ]

    def outer_draw(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Chips of the validation batches of one outer step, (batches, batch size)."""
        assert self.splitter is not None
        outer = self._recipe.outer
        pool = self.splitter.split(epoch).outer
        key = (self._recipe.seed, epoch, step)
        size = outer.batch_size * outer.batches
        if outer.balanced:
            drawn = class_balanced_draw(self._labels, pool, size, key)
        else:
            drawn = random_draw(pool, size, key)
        return drawn.reshape(outer.batches, outer.batch_size)

    def balanced_batches(self) -> Iterator[Batch]:
        """Training chips of all classes alike, without augmentation; always the same ones."""
        everything = np.arange(len(self._labels))
        size = _CHIPS_A_CLASS * len(np.unique(self._labels))
        drawn = class_balanced_draw(self._labels, everything, size, (self._recipe.seed,))
        return self.plain_batches(drawn)

    def held_out(self) -> NDArray[np.int64]:
        """Indexes of the training chips that did not train in the last epoch; often none."""
        if self.splitter is None:
            return np.empty(0, dtype=np.int64)
        split = self.splitter.split(self._recipe.inner.epochs - 1)
        return np.setdiff1d(split.outer, split.inner)

    def plain_batches(self, indexes: NDArray[np.int64]) -> Iterator[Batch]:
        """Training chips by their indexes, without augmentation."""
        for start in range(0, len(indexes), _BATCH_SIZE):
            part = indexes[start : start + _BATCH_SIZE]
            yield collate([self._plain_train[int(index)] for index in part])

    def _in_order(self, dataset: _TrainingSet) -> DataLoader[Chip]:
        return DataLoader(dataset, batch_size=_BATCH_SIZE, shuffle=False, collate_fn=collate)
