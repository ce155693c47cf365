"""Which kind of thing a path names, by what it is."""

from enum import StrEnum
from pathlib import Path

from rsmeta.errors import TargetError
from rsmeta.raster_names import is_gdal_name
from rsmeta.runs import MODEL, RECIPE

_RECIPES = frozenset({".yaml", ".yml"})
_PARTS_OF_RUNS = frozenset({".safetensors", ".csv", ".html", ".png"})


class Kind(StrEnum):
    """What can be inspected."""

    RECIPE = "recipe"
    RUN = "run"
    SCENE = "scene"


def kind_of(target: str) -> Kind:
    """Tell a recipe, a run and a scene apart; whether it is a sound one is not looked at.

    Args:
        target: A YAML file is a recipe, a folder with a recipe or a model in it is a run, all
            else that scenes can be given as is a scene, see `rsmeta.scenes.scene_sources`.

    Raises:
        TargetError: It does not exist, or it is none of the three.
    """
    path = Path(target)
    if is_gdal_name(target) or "{band}" in target:
        return Kind.SCENE
    if not path.exists():
        raise TargetError(
            f"'{target}' does not exist; give a recipe (.yaml), a run folder or a scene"
        )
    if path.is_dir():
        is_run = (path / RECIPE).is_file() or (path / MODEL).is_file()
        return Kind.RUN if is_run else Kind.SCENE
    if path.suffix.lower() in _RECIPES:
        return Kind.RECIPE
    if path.suffix.lower() in _PARTS_OF_RUNS:
        raise TargetError(
            f"'{target}' is neither a recipe (.yaml), a run folder nor a scene; of a run, give "
            "the folder"
        )
    return Kind.SCENE
