"""Prediction from a run folder: scenes in, products out."""

import csv
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rsmeta.bands import Unit
from rsmeta.compiling import compile_if_faster
from rsmeta.errors import SceneError
from rsmeta.prediction_options import ClassificationOptions, PredictionOptions
from rsmeta.runs import TrainedModel, load_run
from rsmeta.scenes import (
    Engine,
    ModelDescription,
    ProductOptions,
    RayCluster,
    ReadOptions,
    ScenePrediction,
    SceneSource,
    parse_products,
    predict_scene,
    scene_sources,
)
from rsmeta.scenes.inputs import BandNames, BandPlaces
from rsmeta.scenes.product_options import DEFAULT_PRODUCTS
from rsmeta.scenes.products import writing
from rsmeta.workers import Outcomes, engine_for

_LOGGER = logging.getLogger(__name__)

FAILED = "failed.csv"


def predict(
    scenes: Sequence[str | PathLike[str] | SceneSource],
    run: Path,
    out: Path,
    options: PredictionOptions | None = None,
    *,
    model: TrainedModel | None = None,
    console: Console | None = None,
) -> Iterator[ScenePrediction]:
    """Classify scenes with the model of a run, one after the other.

    A killed call continues where it stopped, and finished scenes are skipped, see `predict_scene`.

    Args:
        scenes: Sources, or what stands for them, see `rsmeta.scenes.scene_sources`.
        run: Run folder.
        out: Folder for the products, which are named after the scenes.
        options: How to classify, and what to write; None for the defaults.
        model: The merged model of the run, if it is loaded already.
        console: Where to draw the progress bar; None for no bar.

    Yields:
        The products of each scene as soon as they are complete.

    Raises:
        RunError: The run cannot be loaded.
        EngineError: The model shall be compiled and cannot.
        SceneError: A scene cannot be classified (with `on_error` `skip`, at the end), or two
            scenes have the same name, or the Ray cluster cannot be used.
    """
    chosen = PredictionOptions() if options is None else options
    products = product_options(chosen)
    sources = scene_sources(scenes)
    if model is None or chosen.precision not in (None, model.recipe.compute.precision):
        model = load_run(run, merged=True, precision=chosen.precision)
    if chosen.compile:
        model = TrainedModel(model.classifier, model.card, model.recipe)  # that of others stays
        compile_if_faster(model)
    reading = read_options(model, chosen)
    described = _description(model, run)
    failures = _Failures(out / FAILED)
    whole = partial(
        predict_scene,
        out_dir=out,
        tile=chosen.tile,
        stride=chosen.stride,
        augmentation=chosen.augmentation,
        resolution=chosen.resolution,
        options=reading,
        products=products,
        description=described,
    )
    engine = engine_for(run, model, chosen.workers, ray_cluster(chosen))
    at_once = min(chosen.workers, len(sources))
    with tile_progress(console) as bar, Outcomes(engine, at_once) as outcomes:
        classify = partial(_classify, whole, model, bar)
        for source, outcome in outcomes.of(sources, classify, whole):
            if not isinstance(outcome, SceneError):
                yield outcome
                continue
            if chosen.on_error == "stop":
                raise outcome
            failures.add(source, outcome)
    if chosen.on_error == "skip":
        failures.settle(len(sources))


def _classify(
    whole: Callable[..., ScenePrediction],
    model: TrainedModel,
    bar: Progress,
    source: SceneSource,
    engine: Engine | None,
) -> ScenePrediction:
    """Classify one scene, with a line of its own in the progress bar."""
    task = bar.add_task(source.name, total=None)

    def show(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)

    try:
        return whole(source, model, engine=engine, progress=show)
    finally:
        bar.remove_task(task)


class _Failures:
    """Scenes that could not be classified; a table of them grows with each.

    Args:
        path: The table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[tuple[str, str]] = []

    def add(self, source: SceneSource, error: SceneError) -> None:
        """Write a scene down."""
        self._rows.append((_inert(source.origin), str(error)))
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("scene", "reason"), *self._rows])

    def settle(self, scenes: int) -> None:
        """Raise what there is to tell after so many scenes.

        Raises:
            SceneError: There is a failure.
        """
        if self._rows:
            raise SceneError(
                f"{len(self._rows)} of {scenes} scenes could not be classified; '{self._path}' "
                "tells why"
            )
        # That of an earlier call would be taken for this one's.
        self._path.unlink(missing_ok=True)


def single_scene(
    scene: str | PathLike[str] | SceneSource, bands: BandNames | BandPlaces | None = None
) -> SceneSource:
    """The one scene that an input stands for, see `rsmeta.scenes.scene_sources`.

    Raises:
        SceneError: It stands for none, or for several.
    """
    sources = scene_sources([scene], bands)
    if len(sources) != 1:
        raise SceneError(f"'{scene}' stands for {len(sources)} scenes; give one alone")
    return sources[0]


def product_options(options: PredictionOptions) -> ProductOptions:
    """Which products are asked for.

    Raises:
        SceneError: A product is unknown, or the options contradict each other.
    """
    names = options.products
    return ProductOptions(
        DEFAULT_PRODUCTS if names is None else parse_products(names),
        options.confidence,
        options.minimum_confidence,
        options.minimum_area,
    )


def ray_cluster(options: PredictionOptions) -> RayCluster | None:
    """The cluster whose actors are the workers; None for processes of this machine."""
    if options.engine == "processes":
        return None
    return RayCluster(options.address, gpus=options.gpus)


def read_options(model: TrainedModel, options: ClassificationOptions) -> ReadOptions:
    """How scenes are read for a model; warns of linear values for a model of decibels.

    Raises:
        SceneError: Scenes shall be resampled to a pixel size that the model does not know.
    """
    part = options.complex_part
    decibel = [b.name for b in model.recipe.data.selected_bands if b.unit is Unit.DECIBEL]
    if part is not None and decibel:
        _LOGGER.warning(
            "--complex %s reads linear values; the model was trained on %s in dB: convert scenes "
            "to dB for it",
            part,
            ", ".join(decibel),
        )
    return ReadOptions(part, model.card.pixel_size, options.match_resolution, options.missing_bands)


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


def _inert(origin: str) -> str:
    """The same path, so that spreadsheets do not take it for a formula."""
    return f"./{origin}" if origin.startswith(("=", "+", "-", "@")) else origin


def tile_progress(console: Console | None) -> Progress:
    """A progress bar that counts tiles; one that shows nothing without a console."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=console is None,
        transient=True,
    )
