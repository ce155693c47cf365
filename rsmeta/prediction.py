"""Prediction from a run folder: scenes in, products out."""

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from rsmeta.bands import Unit
from rsmeta.errors import SceneError
from rsmeta.rasters import ComplexPart
from rsmeta.runs import TrainedModel, load_run
from rsmeta.scenes import (
    ModelDescription,
    ProductOptions,
    ReadOptions,
    ScenePrediction,
    SceneSource,
    predict_scene,
    scene_sources,
)
from rsmeta.scenes.map_writer import Resolution
from rsmeta.scenes.opening import MissingBands
from rsmeta.scenes.pipeline import Progress
from rsmeta.scenes.products import writing

_LOGGER = logging.getLogger(__name__)

OnError = Literal["stop", "skip"]
FAILED = "failed.csv"


def predict(
    scenes: Sequence[str | PathLike[str] | SceneSource],
    run: Path,
    out: Path,
    *,
    stride: int | None = None,
    resolution: Resolution = "pixel",
    missing_bands: MissingBands = "error",
    complex_part: ComplexPart | None = None,
    match_resolution: bool = False,
    products: ProductOptions | None = None,
    on_error: OnError = "stop",
    console: Console | None = None,
) -> Iterator[ScenePrediction]:
    """Classify scenes with the model of a run, one after the other.

    Args:
        scenes: Sources, or what stands for them, see `rsmeta.scenes.scene_sources`.
        run: Run folder.
        out: Folder for the products, which are named after the scenes.
        stride: Step between tiles in pixels; None for half a tile.
        resolution: `pixel` or `cell`, see `predict_scene`.
        missing_bands: `error` or `zero`, see `rsmeta.scenes.ReadOptions`.
        complex_part: What complex values are read as; None refuses them.
        match_resolution: Whether scenes whose pixels are more than 10 % larger or smaller than
            those the model was trained on are resampled to these.
        products: Which products to write, and how; None for the defaults.
        on_error: `stop` at the first scene that cannot be classified, or `skip` it: the others
            are classified, and `failed.csv` in `out` tells the path and the reason.
        console: Where to draw the progress bar; None for no bar.

    Yields:
        The products of each scene as soon as they are complete.

    Raises:
        RunError: The run cannot be loaded.
        SceneError: A scene cannot be classified (with `skip`, at the end), or two scenes have
            the same name.
    """
    sources = scene_sources(scenes)
    model = load_run(run, merged=True)
    _tell_units(model, complex_part)
    options = ReadOptions(complex_part, model.card.pixel_size, match_resolution, missing_bands)
    described = _description(model, run)
    failures: list[tuple[str, str]] = []
    for source in sources:
        try:
            with _progress(source.name, console) as progress:
                prediction = predict_scene(
                    source, model, out, stride=stride, resolution=resolution, options=options,
                    products=products, model=described, progress=progress,
                )  # fmt: skip
        except SceneError as error:
            if on_error == "stop":
                raise
            failures.append((source.origin, str(error)))
            _write_failures(out / FAILED, failures)
        else:
            yield prediction
    if failures:
        raise SceneError(
            f"{len(failures)} of {len(sources)} scenes could not be classified; "
            f"'{out / FAILED}' tells why"
        )
    if on_error == "skip":
        # That of an earlier call would be taken for this one's.
        (out / FAILED).unlink(missing_ok=True)


def _tell_units(model: TrainedModel, complex_part: ComplexPart | None) -> None:
    if complex_part is None:
        return
    decibel = [b.name for b in model.recipe.data.selected_bands if b.unit is Unit.DECIBEL]
    if decibel:
        _LOGGER.warning(
            "--complex %s reads linear values; the model was trained on %s in dB: convert scenes "
            "to dB for it",
            complex_part,
            ", ".join(decibel),
        )


def _description(model: TrainedModel, run: Path) -> ModelDescription:
    card = model.card
    return ModelDescription(
        run=run.resolve().name,
        architecture=card.backbone,
        method=model.recipe.peft.method,
        backbone_sha256=card.backbone_sha256,
        temperature=card.temperature,
        versions=card.versions,
    )


@contextmanager
def _progress(name: str, console: Console | None) -> Iterator[Progress]:
    """A bar for the tiles of a scene, and what moves it."""
    with _progress_bar(console) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write_failures(path: Path, failures: Sequence[tuple[str, str]]) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("scene", "reason"), *failures])


def _progress_bar(console: Console | None) -> Bar:
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=console is None,
        transient=True,
    )
