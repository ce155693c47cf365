"""Suggestions from a run folder: a scene in, the tiles that an analyst should label out."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from rsmeta.errors import RunError, SceneError
from rsmeta.prediction import single_scene, tile_progress
from rsmeta.report.run_files import RunFiles
from rsmeta.runs import TrainedModel, load_run
from rsmeta.scenes import ReadOptions, SceneSource
from rsmeta.scenes.informativeness import rarity
from rsmeta.scenes.suggest import suggest_tiles
from rsmeta.scenes.suggestion_file import suggestion_frame, write_suggestions

if TYPE_CHECKING:
    import geopandas as gpd


def suggest(
    scene: str | PathLike[str] | SceneSource,
    run: Path,
    out: Path,
    count: int = 50,
    *,
    console: Console | None = None,
) -> "gpd.GeoDataFrame":
    """Write the tiles of a scene whose labels would help a run's model most, for an analyst.

    Uncertain tiles of classes with few training chips come first, and no two that are alike; see
    `rsmeta.scenes.informativeness`. The same call chooses the same tiles. Filled in, the file
    labels the scene in a recipe: `{raster: SCENE, labels: OUT, class_column: label, split: train}`
    among the `scenes` of a `labelled_scene`; tiles whose `label` is empty are ignored there.

    Args:
        scene: The scene, see `rsmeta.scenes.scene_sources`.
        run: Run folder.
        out: GeoPackage to write; it must not be there yet, so that no labels are lost.
        count: How many tiles to suggest, 1 or more; fewer where the scene has not as many.
        console: Where to draw the progress bar; None for no bar.

    Returns:
        What was written, see `rsmeta.scenes.suggestion_file.suggestion_frame`.

    Raises:
        RunError: The run cannot be loaded, or it has one class.
        SceneError: The scene cannot be read or does not fit the run, it is not one alone, or the
            file is there already or cannot be written.
    """
    if out.suffix.lower() != ".gpkg":
        raise SceneError(f"'{out}' is not the name of a GeoPackage; use a name that ends in .gpkg")
    if out.exists():
        raise SceneError(f"'{out}' exists already, perhaps with labels; choose another --out")
    source = single_scene(scene)
    model = load_run(run, merged=True)
    if len(model.classes) < 2:
        raise RunError(f"run '{run}' has one class alone: there is nothing to be uncertain about")
    stored = RunFiles.read(run).classes.set_index("class")
    weights = rarity(stored.loc[list(model.classes), "train_chips"].to_numpy(dtype=np.int64))
    # A temperature below 1, fitted on a few chips that the model knows, would drive the margins of
    # most tiles to 0, where float32 no longer tells them apart.
    softened = replace(model.card, temperature=max(1.0, model.card.temperature))
    model = TrainedModel(model.classifier, softened, model.recipe)
    with tile_progress(console) as bar:
        task = bar.add_task(source.name, total=None)
        found = suggest_tiles(
            source,
            model,
            weights,
            count,
            out.parent,
            options=ReadOptions(pixel_size=model.card.pixel_size),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    frame = suggestion_frame(found, model.classes)
    write_suggestions(frame, model.classes, out)
    return frame
