"""Prediction from a run folder: scenes in, products out."""

import csv
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rsmeta.bands import Unit
from rsmeta.errors import SceneError
from rsmeta.prediction_options import ClassificationOptions, PredictionOptions
from rsmeta.runs import TrainedModel, load_run
from rsmeta.scenes import (
    Engine,
    ModelDescription,
    Processes,
    ProductOptions,
    ReadOptions,
    ScenePrediction,
    SceneSource,
    parse_products,
    predict_scene,
    scene_sources,
)
from rsmeta.scenes.product_options import DEFAULT_PRODUCTS
from rsmeta.scenes.products import writing

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
        SceneError: A scene cannot be classified (with `on_error` `skip`, at the end), or two
            scenes have the same name.
    """
    chosen = PredictionOptions() if options is None else options
    products = product_options(chosen)
    sources = scene_sources(scenes)
    model = load_run(run, merged=True) if model is None else model
    reading = read_options(model, chosen)
    described = _description(model, run)
    failures: list[tuple[str, str]] = []
    with _progress_bar(console) as bar, _Outcomes(run, chosen.workers, len(sources)) as outcomes:

        def classify(source: SceneSource, engine: Engine | None) -> ScenePrediction:
            task = bar.add_task(source.name, total=None)
            try:
                return predict_scene(
                    source,
                    model,
                    out,
                    tile=chosen.tile,
                    stride=chosen.stride,
                    augmentation=chosen.augmentation,
                    resolution=chosen.resolution,
                    options=reading,
                    products=products,
                    description=described,
                    engine=engine,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
            finally:
                bar.remove_task(task)

        for source, outcome in outcomes.of(sources, classify):
            if not isinstance(outcome, SceneError):
                yield outcome
                continue
            if chosen.on_error == "stop":
                raise outcome
            failures.append((source.origin, str(outcome)))
            _write_failures(out / FAILED, failures)
    if failures:
        raise SceneError(
            f"{len(failures)} of {len(sources)} scenes could not be classified; "
            f"'{out / FAILED}' tells why"
        )
    if chosen.on_error == "skip":
        # That of an earlier call would be taken for this one's.
        (out / FAILED).unlink(missing_ok=True)


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


@dataclass(frozen=True)
class _RunLoader:
    """Loads the model of a run in a worker process, for so many threads."""

    run: Path
    threads: int

    def __call__(self) -> TrainedModel:
        torch.set_num_threads(self.threads)
        return load_run(self.run, merged=True)


_Classify = Callable[[SceneSource, Engine | None], ScenePrediction]
_Outcome = tuple[SceneSource, ScenePrediction | SceneError]


class _Outcomes:
    """Classifies scenes with one process or several, and hands over the outcomes in order."""

    def __init__(self, run: Path, workers: int, scenes: int) -> None:
        self._engine: Processes | None = None
        self._at_once = max(1, min(workers, scenes))
        if workers != 1:
            threads = max(1, torch.get_num_threads() // max(1, workers))
            self._engine = Processes(_RunLoader(run.resolve(), threads), workers)
        self._threads = ThreadPoolExecutor(self._at_once)

    def __enter__(self) -> "_Outcomes":
        return self

    def __exit__(self, *error: object) -> None:
        # Workers first: scenes under way then end, and keep what they have for the next time.
        if self._engine is not None:
            self._engine.close()
        self._threads.shutdown(cancel_futures=True)

    def of(self, sources: Sequence[SceneSource], classify: _Classify) -> Iterator[_Outcome]:
        """Classify the scenes; with several processes as many scenes at once."""
        if self._engine is None:
            for source in sources:
                yield source, _attempt(classify, source, None)
            return
        rest = iter(sources)
        waiting: deque[tuple[SceneSource, Future[ScenePrediction | SceneError]]] = deque()
        while True:
            for source in islice(rest, self._at_once - len(waiting)):
                submitted = self._threads.submit(_attempt, classify, source, self._engine)
                waiting.append((source, submitted))
            if not waiting:
                return
            source, future = waiting.popleft()
            yield source, future.result()


def _attempt(
    classify: _Classify, source: SceneSource, engine: Engine | None
) -> ScenePrediction | SceneError:
    try:
        return classify(source, engine)
    except SceneError as error:
        return error


def _write_failures(path: Path, failures: Sequence[tuple[str, str]]) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("scene", "reason"), *failures])


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
