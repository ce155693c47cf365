"""Chips of TorchGeo's classification data sets."""

import inspect
import logging
import tarfile
import zipfile
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset
from torchvision.datasets import DatasetFolder

from rsmeta.data.assembling import assemble
from rsmeta.data.chips import ChipSet, LabelledData, WrappedChips, centre_crop, encode_labels
from rsmeta.errors import DataError
from rsmeta.rasters import RASTER_ERRORS, reason
from rsmeta.recipe import DotaData, TorchGeoData

_HELD_OUT_STREAM = 8
_LOGGER = logging.getLogger(__name__)

READ_ERRORS = (
    AssertionError,  # TorchGeo checks its arguments with assert
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    tarfile.TarError,
    zipfile.BadZipFile,
    *RASTER_ERRORS,
)
"""What TorchGeo's data sets raise for wrong arguments and missing or damaged files."""


class TorchGeoChips(ChipSet):
    """Chips of a TorchGeo data set.

    Args:
        dataset: One TorchGeo data set, or several as one.
        labels: (chips,), int64.
        config: The recipe's section.
        names: What to call each chip in messages.
    """

    def __init__(
        self,
        dataset: ConcatDataset[dict[str, Any]],
        labels: NDArray[np.int64],
        config: TorchGeoData,
        names: Sequence[str],
    ) -> None:
        self._dataset = dataset
        self._names = names
        self._images = config.images
        self._order = [config.images.bands.index(band.name) for band in config.selected_bands]
        self._crop = config.crop
        self.labels = labels

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        try:
            image = self._dataset[index]["image"]
        except READ_ERRORS as error:
            raise DataError(
                f"chip '{self._names[index]}' cannot be read: {reason(error)}"
            ) from error
        values = np.asarray(image, dtype=np.float32)
        if values.ndim != 3 or len(values) != len(self._images.bands):
            raise DataError(
                f"chip '{self._names[index]}' has the shape {values.shape}; the recipe names "
                f"{len(self._images.bands)} bands, for (bands, height, width): set data.bands to "
                "the bands of the images, in their order"
            )
        chip = centre_crop(values[self._order], self._crop, self._names[index])
        return self._decibel(chip, index) if self._images.linear_power else chip

    def _decibel(self, power: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """10 log10 of linear power; NaN where it is 0, which stands for no data."""
        if (power < 0).any():
            raise DataError(
                f"chip '{self._names[index]}' has negative values: it is not the backscatter in "
                "linear power that this data set is known for; compare its version"
            )
        with np.errstate(divide="ignore"):
            decibel = 10 * np.log10(power)
        return np.where(power > 0, decibel, np.float32(np.nan))

    def describe(self, index: int) -> str:
        """The chip's path, or its split and number."""
        return self._names[index]


def load_torchgeo(config: TorchGeoData, seed: int) -> LabelledData:
    """Chips of a TorchGeo data set; images are read later.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where one is drawn.

    Raises:
        DataError: The data set is unknown, is not there, has no such split, or does not give one
            image and one class a sample.
    """
    kind = _find(config.dataset)
    if config.test_draw is None:
        train = [_construct(kind, config, split) for split in config.train_splits or []]
        test = [_construct(kind, config, config.test_split)]
    else:
        train = test = [_construct(kind, config, None)]
    own = _class_names(train[0], config)
    classes = tuple(config.classes or own)
    train_set = _chips(train, config, own, classes, config.train_splits or [])
    if config.test_draw is None:
        test_set: ChipSet = _chips(test, config, own, classes, [config.test_split or ""])
        return assemble(config, train_set, test_set, classes, seed)
    held_out = draw_held_out(train_set.labels, config.test_draw.fraction, config.test_draw.seed)
    kept = np.setdiff1d(np.arange(len(train_set)), held_out)
    _LOGGER.warning(
        "%s has no splits: %d of its %d chips are drawn for testing (data.test_draw)",
        config.dataset, len(held_out), len(train_set),
    )  # fmt: skip
    drawn = WrappedChips(train_set, held_out)
    return assemble(config, WrappedChips(train_set, kept), drawn, classes, seed)


def draw_held_out(labels: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.int64]:
    """Draw the test chips of a data set without splits, the same share of every class.

    Args:
        labels: (chips,), class of each chip.
        fraction: Share of each class, rounded, but at least one chip and never all.
        seed: Seed of the draw.

    Returns:
        Indexes of the test chips, sorted.

    Raises:
        DataError: A class has a single chip.
    """
    generator = np.random.default_rng([seed, _HELD_OUT_STREAM])
    parts = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise DataError("data.test_draw: a class has a single chip, none for testing; drop it")
        count = int(np.clip(np.rint(fraction * len(members)), 1, len(members) - 1))
        parts.append(members[:count])
    return np.sort(np.concatenate(parts)).astype(np.int64)


def _find(name: str) -> type[Any]:
    import torchgeo.datasets

    kinds = {
        key: kind
        for key, kind in vars(torchgeo.datasets).items()
        if inspect.isclass(kind)
        and issubclass(kind, torchgeo.datasets.NonGeoDataset)
        and not inspect.isabstract(kind)
    }
    if name not in kinds:
        written = {key.lower(): key for key in kinds}
        near = get_close_matches(name.lower(), written, n=1)
        hint = f" (did you mean '{written[near[0]]}'?)" if near else ""
        raise DataError(
            f"data.dataset '{name}' is not a data set of chips in torchgeo.datasets{hint}; "
            "e.g. EuroSAT, RESISC45, So2Sat"
        )
    return kinds[name]


def _construct(kind: type[Any], config: TorchGeoData, split: str | None) -> Any:
    known = set(inspect.signature(kind).parameters)
    asked: dict[str, Any] = {"download": config.download, "checksum": config.checksum}
    for key, value in asked.items():
        if value and key not in known:
            raise DataError(
                f"data.{key}: TorchGeo cannot do that for {config.dataset}; set it to false and "
                f"put the files into data.root '{config.root}' by hand"
            )
    arguments = {key: value for key, value in asked.items() if key in known}
    arguments |= {"split": split} if split is not None else {}
    return construct(kind, config, **(arguments | config.images.arguments | dict(config.arguments)))


def construct(kind: type[Any], config: TorchGeoData | DotaData, **arguments: Any) -> Any:
    """Make a TorchGeo data set; whatever it fails with becomes one line.

    Args:
        kind: Class of torchgeo.datasets.
        config: The recipe's section.
        arguments: Further arguments of the class.

    Raises:
        DataError: It is not in `root`, is damaged, does not know an argument, or needs a library
            that is not installed.
    """
    from torchgeo.datasets import DatasetNotFoundError, DependencyNotFoundError

    name, root = kind.__name__, config.root
    try:
        return kind(root=str(root), **arguments)
    except DependencyNotFoundError as error:
        raise DataError(f"TorchGeo's {name} needs a library: {reason(error)}") from error
    except DatasetNotFoundError as error:
        mend = "put its files there"
        if "download" in inspect.signature(kind).parameters:
            mend += " or set data.download: true"
        raise DataError(f"data set {name} is not in data.root '{root}'; {mend}") from error
    except READ_ERRORS as error:
        mend = "" if config.download else " (data.download: true lets TorchGeo fetch what it can)"
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise DataError(
            f"data set {name} in data.root '{root}' cannot be used with {shown}: "
            f"{type(error).__name__}: {reason(error)}; complete or replace its files{mend}"
        ) from error


def _class_names(dataset: Any, config: TorchGeoData) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None) or config.classes
    if not names:
        raise DataError(
            f"TorchGeo's {config.dataset} does not name its classes; set data.classes, in the "
            "order of its labels"
        )
    return tuple(map(str, names))


def _chips(
    datasets: Sequence[Any],
    config: TorchGeoData,
    own: Sequence[str],
    classes: Sequence[str],
    splits: Sequence[str],
) -> TorchGeoChips:
    """The chips of some splits.

    Args:
        datasets: A data set for each split.
        config: The recipe's section.
        own: The data set's class names, which its labels are indexes into.
        classes: Class names in the order that is wanted.
        splits: Names of the splits; none for the only one.
    """
    names = list(
        chain.from_iterable(
            _names(dataset, f"{config.dataset} {split}".strip())
            for dataset, split in zip(datasets, splits or [""], strict=True)
        )
    )
    numbers = np.concatenate([_labels(dataset, config.dataset) for dataset in datasets])
    outside = np.flatnonzero((numbers < 0) | (numbers >= len(own)))
    if len(outside):
        raise DataError(
            f"chip '{names[outside[0]]}' has the label {numbers[outside[0]]}, but "
            f"{config.dataset} has {len(own)} classes: set data.classes"
        )
    labels = encode_labels([own[number] for number in numbers], classes, names)
    return TorchGeoChips(ConcatDataset(datasets), labels, config, names)


def _names(dataset: Any, title: str) -> list[str]:
    if isinstance(dataset, DatasetFolder):
        return [str(path) for path, _ in dataset.samples]
    return [f"{title} {index}" for index in range(len(dataset))]


def _labels(dataset: Any, name: str) -> NDArray[np.int64]:
    """Class numbers of a data set, without decoding images where its class makes that possible."""
    from torchgeo.datasets import QuakeSet, So2Sat

    if isinstance(dataset, DatasetFolder):
        return np.array(dataset.targets, dtype=np.int64)
    if isinstance(dataset, QuakeSet):
        return np.array([patch["label"] for patch in dataset.data], dtype=np.int64)
    if isinstance(dataset, So2Sat):
        return _one_hot_labels(dataset.fn)
    return np.array([_label(dataset, index, name) for index in range(len(dataset))], np.int64)


def _one_hot_labels(file: str) -> NDArray[np.int64]:
    import h5py

    with h5py.File(file) as content:
        labels: NDArray[np.int64] = content["label"][:].argmax(axis=1).astype(np.int64)
    return labels


def _label(dataset: Any, index: int, name: str) -> int:
    try:
        sample = dataset[index]
    except READ_ERRORS as error:
        raise DataError(f"chip '{name} {index}' cannot be read: {reason(error)}") from error
    label = np.asarray(sample.get("label", np.nan))
    if "image" not in sample or label.size != 1 or not np.issubdtype(label.dtype, np.integer):
        raise DataError(
            f"data.dataset {name} is no classification data set: a sample holds "
            f"{', '.join(sample)}, not one image and one class number"
        )
    return int(label.item())
