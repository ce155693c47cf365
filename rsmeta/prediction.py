"""Prediction from a run folder: scenes in, products out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rsmeta.errors import SceneError
from rsmeta.runs import load_run
from rsmeta.scenes import ScenePrediction, predict_scene
from rsmeta.scenes.predict import Resolution
from rsmeta.scenes.reader import MissingBands


def predict(
    scenes: Sequence[Path],
    run: Path,
    out: Path,
    *,
    stride: int | None = None,
    resolution: Resolution = "pixel",
    missing_bands: MissingBands = "error",
    console: Console | None = None,
) -> Iterator[ScenePrediction]:
    """Classify scenes with the model of a run, one after the other.

    Args:
        scenes: Paths of rasters.
        run: Run folder.
        out: Folder for the products, which are named after the scenes.
        stride: Step between tiles in pixels; None for half a tile.
        resolution: `pixel` or `cell`, see `predict_scene`.
        missing_bands: `error` or `zero`, see `predict_scene`.
        console: Where to draw the progress bar; None for no bar.

    Yields:
        The products of each scene as soon as they are complete.

    Raises:
        RunError: The run cannot be loaded.
        SceneError: A scene cannot be classified, or two scenes have the same name.
    """
    repeated = [
        name for name, count in Counter(scene.stem for scene in scenes).items() if count > 1
    ]
    if repeated:
        raise SceneError(
            f"several scenes are named '{repeated[0]}', so that their products would overwrite "
            "each other; predict them into different folders with --out"
        )
    model = load_run(run, merged=True)
    for scene in scenes:
        with _progress_bar(console) as bar:
            task = bar.add_task(scene.name, total=None)

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)  # noqa: B023 (used within the loop)

            prediction = predict_scene(
                scene,
                model,
                out,
                stride=stride,
                resolution=resolution,
                missing_bands=missing_bands,
                progress=show,
            )
        yield prediction


def _progress_bar(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=console is None,
        transient=True,
    )
