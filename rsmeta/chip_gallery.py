"""Test chips worth looking at: `chips.csv` of a run, and a picture of each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from rsmeta.data.chips import LabelledData
from rsmeta.errors import RunError
from rsmeta.longtail.metrics import Group
from rsmeta.longtail.outputs import ChipOutputs
from rsmeta.looks import look, shown_bands

GALLERY = "chips.csv"
MISTAKE, TAIL = "mistake", "tail"
"""Kinds of chips: confident mistakes, and hard chips of tail classes."""

_FOLDER = "chips"
_PICTURE_ERRORS = (SyntaxError, Image.DecompressionBombError)  # what Pillow raises besides OSError
_MOST = 12
_LONGEST_SIDE = 160
_COLUMNS = (
    *("kind", "file", "chip", "true class", "predicted class"),
    *("confidence", "true probability"),
)


def confident_mistakes(outputs: ChipOutputs, most: int = _MOST) -> NDArray[np.int64]:
    """The wrongly classified chips that the model is surest about, surest first."""
    wrong = np.flatnonzero(~outputs.predictions.correct)
    order = np.argsort(-outputs.predictions.confidence[wrong], kind="stable")
    chosen: NDArray[np.int64] = wrong[order][:most]
    return chosen


def hard_tail_chips(
    outputs: ChipOutputs, groups: Sequence[Group], most: int = _MOST
) -> NDArray[np.int64]:
    """The chips of tail classes whose true class the model gives least probability, least first.

    Args:
        outputs: What the model makes of the chips.
        groups: Group of each class.
        most: Number of chips at most.
    """
    is_tail = np.array([group is Group.TAIL for group in groups])
    tail = np.flatnonzero(is_tail[outputs.predictions.labels])
    order = np.argsort(outputs.true_probability[tail], kind="stable")
    chosen: NDArray[np.int64] = tail[order][:most]
    return chosen


def write_gallery(
    folder: Path, data: LabelledData, outputs: ChipOutputs, groups: Sequence[Group]
) -> None:
    """Write `chips.csv` and the pictures in the folder `chips`.

    Args:
        folder: Run folder.
        data: Its chips.
        outputs: What the model makes of the test chips.
        groups: Group of each class.

    Raises:
        DataError: A chip cannot be read.
    """
    names = [band.name for band in data.bands]
    shown = shown_bands(names)
    found, probability = outputs.predictions, outputs.true_probability
    chosen = [(MISTAKE, index) for index in confident_mistakes(outputs)]
    chosen += [(TAIL, index) for index in hard_tail_chips(outputs, groups)]
    (folder / _FOLDER).mkdir(exist_ok=True)
    rows = []
    for index in dict.fromkeys(int(index) for _, index in chosen):
        picture = look(data.test.read(index)[shown], [names[place] for place in shown])
        image = Image.fromarray(picture)
        image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        image.save(folder / _FOLDER / _file(index))
    for kind, index in chosen:
        classes = data.classes[found.labels[index]], data.classes[found.predicted[index]]
        scores = found.confidence[index], probability[index]
        name = data.test.describe(int(index))
        rows.append((kind, f"{_FOLDER}/{_file(int(index))}", name, *classes, *scores))
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    table.to_csv(folder / GALLERY, index=False, lineterminator="\n")


def read_gallery(run: Path) -> pd.DataFrame | None:
    """Read what `write_gallery` wrote.

    Returns:
        Columns `kind`, `chip`, `true class`, `predicted class`, `confidence`, `true probability`
        and `image`, each (rows, columns, 4), uint8; None where the run has no gallery, as those
        of older versions.

    Raises:
        RunError: A file is damaged or missing.
    """
    path = run / GALLERY
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        for name in _COLUMNS[-2:]:
            table[name] = table[name].astype(np.float64)
        # Only pictures beside the table: its other text is what chips and classes are called.
        images = [_picture(run / _FOLDER / Path(name).name) for name in table["file"]]
    except (OSError, ValueError, KeyError, *_PICTURE_ERRORS) as error:
        raise RunError.damaged(path, error) from error
    return table.drop(columns="file").assign(image=pd.Series(images, dtype=object))


def _file(index: int) -> str:
    return f"{index:06d}.png"


def _picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))
