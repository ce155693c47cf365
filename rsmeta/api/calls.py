"""What a notebook does with recipes and runs."""

from os import PathLike
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console

from rsmeta import finetuning, scene_evaluation
from rsmeta.api.bands import Bands
from rsmeta.api.live_curves import LiveCurves, notebook_display
from rsmeta.api.model import Model, SceneLike
from rsmeta.api.prediction import Prediction
from rsmeta.api.run import Run, RunLike, folders, run_of
from rsmeta.bands import SimulatedSensor
from rsmeta.comparison import RunComparison, compare_runs
from rsmeta.data.simulator.product import SimulatedProduct, write_scene
from rsmeta.errors import SceneError
from rsmeta.evaluation import RunEvaluation, evaluate_run
from rsmeta.recipe import Recipe
from rsmeta.scenes import Agreement


def finetune(recipe: Recipe, *, progress: bool = True) -> Run:
    """Train and test a recipe's model and write the run folder.

    Args:
        recipe: The recipe.
        progress: Whether to show the progress: in a notebook as curves that grow with each epoch,
            elsewhere as a bar.

    Raises:
        DataError: One line for each chip that cannot be used, or what else is wrong with the data.
        BackboneError: The backbone cannot be loaded.
        RecipeError: The recipe does not fit the backbone.
        RunError: The run folder cannot be written.
    """
    return Run(finetuning.finetune(recipe, *_shown(progress)).folder.resolve())


def resume(run: str | PathLike[str], *, progress: bool = True) -> Run:
    """Go on with a run that was interrupted, to the same end on the same machine.

    Args:
        run: The path that the run will have.
        progress: See `finetune`.

    Raises:
        RunError: There is no such unfinished run, or what it was made of has changed.
    """
    return Run(finetuning.resume(Path(run), *_shown(progress)).folder.resolve())


def load(run: RunLike) -> Model:
    """Load the model of a run, with adapters merged into the backbone.

    Args:
        run: A run, or its folder, such as `runs/latest`.

    Raises:
        RunError: The run is missing, incomplete, or its parts do not fit each other.
    """
    return run_of(run).load()


def predict(
    scene: SceneLike,
    run: RunLike = "runs/latest",
    out: str | PathLike[str] = "predictions",
    *,
    bands: Bands = None,
    progress: bool = False,
    **options: Any,
) -> Prediction:
    """Classify a scene with the model of a run; `Model.predict` saves loading it for each.

    Args:
        scene: See `rsmeta.Model.predict`, as the other arguments.
        run: A run, or its folder.
        out: Folder for the products.
        bands: Names of the scene's bands, or their places.
        progress: Whether to draw a bar.
        **options: Fields of `rsmeta.prediction_options.PredictionOptions`.

    Raises:
        RunError: The run cannot be loaded.
        SceneError: The scene cannot be classified, or an option is not allowed.
    """
    return load(run).predict(scene, out, bands=bands, progress=progress, **options)


def evaluate(
    run: RunLike, data: str | PathLike[str] | None = None, *, seed: int = 0
) -> RunEvaluation:
    """Test the model of a run again, with intervals and calibration.

    Args:
        run: A run, or its folder.
        data: Recipe, or a file with its `data` section alone, whose test chips to take; None for
            those of the run.
        seed: Seed of the bootstrap.

    Raises:
        RunError: The run is incomplete, or the chips do not fit it.
        RecipeError: The recipe is not valid.
        DataError: Chips cannot be used.
    """
    (folder,) = folders([run])
    return evaluate_run(folder, None if data is None else Path(data), seed=seed)


def evaluate_scene(
    run: RunLike, scene: str, truth: str | PathLike[str], class_column: str | None = None
) -> Agreement:
    """Classify a scene and compare its class map with the truth where that has a class.

    Args:
        run: A run, or its folder.
        scene: The scene.
        truth: Raster of classes with their names in the tag `CLASS_NAMES`; or polygons.
        class_column: Column of the polygons that holds the class; None for `class`.

    Raises:
        RunError: The run cannot be loaded.
        SceneError: The scene cannot be classified, or the truth does not fit it.
        DataError: The polygons cannot be read.
    """
    (folder,) = folders([run])
    return scene_evaluation.evaluate_scene(folder, scene, Path(truth), class_column)


def compare(*runs: RunLike) -> RunComparison:
    """Compare runs: accuracy, modulators, and the recipe keys they differ in.

    Args:
        *runs: Two or more runs, or their folders.

    Raises:
        RunError: There are fewer than two, one stands twice, or one is incomplete.
    """
    return compare_runs(folders(runs))


def simulate(
    path: str | PathLike[str], sensor: str = "sar", *, size: int = 2048, seed: int = 0
) -> SimulatedProduct:
    """Simulate a scene, with its truth as a raster and as polygons.

    Args:
        path: GeoTIFF to write; the truth goes to `<stem>_truth.tif` and `<stem>_truth.gpkg`.
        sensor: optical, multispectral or sar.
        size: Side in pixels of 2 m.
        seed: Seed of the ground.

    Raises:
        SceneError: An argument is not allowed, or the files cannot be written.
    """
    if sensor not in set(SimulatedSensor):
        raise SceneError(f"sensor '{sensor}' is unknown; allowed: {', '.join(SimulatedSensor)}")
    return write_scene(Path(path), SimulatedSensor(sensor), size, seed)


def _shown(progress: bool) -> tuple[Console | None, list[L.Callback]]:
    """Where training shows its progress."""
    display = notebook_display()
    if not progress:
        return None, []
    return (
        (Console(stderr=True, markup=False, emoji=False), [])
        if display is None
        else (None, [LiveCurves(display)])
    )
