"""CIFAR-100-LT, drawn from torchvision's CIFAR-100."""

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import CIFAR100

from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.long_tail_draw import draw_long_tail
from rsmeta.errors import DataError
from rsmeta.recipe import Cifar100Data

_BENCHMARK_SEED = 0


def load_cifar100(config: Cifar100Data, seed: int) -> LabelledData:
    """Long-tailed training chips and all test chips, RGB, 32 x 32.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where the recipe asks for its own draw.

    Raises:
        DataError: The files are missing or damaged or cannot be downloaded, or the tail leaves
            nothing of a class.
    """
    train, test = _open(config, train=True), _open(config, train=False)
    labels = np.array(train.targets, dtype=np.int64)
    if config.draw == "benchmark":
        drawn = benchmark_draw(labels, config.imbalance)
    else:
        drawn = draw_long_tail(labels, config.imbalance, None, seed)
    classes = tuple(train.classes)
    empty = [name for label, name in enumerate(classes) if label not in labels[drawn]]
    if empty:
        raise DataError(
            f"data.imbalance {config.imbalance:g} leaves no training chips of {', '.join(empty)}; "
            "make it smaller"
        )
    return LabelledData(
        train=_chips(train.data[drawn], labels[drawn]),
        test=_chips(test.data, np.array(test.targets, dtype=np.int64)),
        classes=classes,
        bands=config.selected_bands,
    )


def benchmark_draw(labels: NDArray[np.int64], imbalance: float) -> NDArray[np.int64]:
    """The long tail that the literature calls CIFAR-LT (Cui et al. 2019, arXiv 1901.05555).

    Class i of C keeps floor(n * (1 / imbalance)^(i / (C - 1))) chips, n the mean count of the
    classes. Cao et al. 2019 (LDAM) published the code whose random numbers everyone uses since:
    numpy's legacy generator with seed 0, one shuffle a class.

    Args:
        labels: (chips,), class of each chip.
        imbalance: Largest count over smallest, >= 1.

    Returns:
        Indexes of the drawn chips, class by class.
    """
    classes = np.unique(labels)
    largest, factor = len(labels) / len(classes), 1 / imbalance
    generator = np.random.RandomState(_BENCHMARK_SEED)
    drawn = []
    for rank, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        generator.shuffle(members)
        drawn.append(members[: int(largest * factor ** (rank / (len(classes) - 1.0)))])
    return np.concatenate(drawn).astype(np.int64)


def _open(config: Cifar100Data, train: bool) -> CIFAR100:
    try:
        return CIFAR100(config.root, train=train, download=config.download)
    except OSError as error:
        raise DataError(f"CIFAR-100 cannot be downloaded to '{config.root}': {error}") from error
    except RuntimeError as error:
        raise DataError(
            f"folder '{config.root}' holds no complete {CIFAR100.base_folder}; unpack "
            f"{CIFAR100.filename} there, or set data.download to true"
        ) from error


def _chips(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> ChipArray:
    """Images (chips, height, width, 3) as a chip set."""
    return ChipArray(np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32), labels)
