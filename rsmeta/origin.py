"""What a training starts from, in digests: an interrupted one can only go on from the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rsmeta.data.chips import ChipSet, LabelledData
from rsmeta.data.statistics import BandStatistics
from rsmeta.errors import RunError
from rsmeta.model_card import current_versions
from rsmeta.models.classifier import BuiltModel
from rsmeta.recipe import Recipe
from rsmeta.runs import RECIPE

_WAYS_BACK = {
    "recipe": f"{RECIPE} was changed since it began; undo that",
    "data": "its chips are not those it began with; restore them",
    "backbone": "the weights of its backbone are not those it began with; restore that file",
}


def origin_of(
    recipe: Recipe, data: LabelledData, statistics: BandStatistics, built: BuiltModel
) -> dict[str, str]:
    """Digests of the recipe, the chips and the backbone, and the versions of what computes.

    Args:
        recipe: The recipe, of which the folder of runs does not matter.
        data: Its chips: names and labels count, and pixels by the statistics.
        statistics: Band statistics of the training chips.
        built: The model before training.
    """
    settings = recipe.model_dump(mode="json", exclude={"runs": True})
    chips = [data.classes, _listed(data.train), _listed(data.test), asdict(statistics)]
    digests = {
        "recipe": _digest(settings),
        "data": _digest(chips),
        "backbone": built.backbone_sha256,
    }
    return digests | current_versions()


def require_same(run: str, began: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Check that a run can go on here.

    Args:
        run: What to call it.
        began: Its origin.
        found: The origin of a run that began now.

    Raises:
        RunError: They differ.
    """
    for name, value in found.items():
        if began.get(name) == value:
            continue
        way = f"it began with {name} {began.get(name)}, this is {value}; install that version"
        raise RunError(
            f"run '{run}' cannot go on: {_WAYS_BACK.get(name, way)}, or start afresh with: "
            "rsmeta finetune RECIPE"
        )


def _listed(chips: ChipSet) -> Sequence[Any]:
    return [[chips.describe(i) for i in range(len(chips))], chips.labels.tolist()]


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
