"""Prediction from a run folder: scenes in, products out."""

import csv
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rsmeta.bands import Unit
from rsmeta.errors import SceneError
from rsmeta.rasters import ComplexPart
from rsmeta.recipe import Precision
from rsmeta.runs import TrainedModel, load_run
from rsmeta.scenes import (
    Engine,
    ModelDescription,
    Processes,
    ProductOptions,
    RayCluster,
    RayWorkers,
    ReadOptions,
    ScenePrediction,
    SceneSource,
    predict_scene,
    scene_sources,
)
from rsmeta.scenes.map_writer import Resolution
from rsmeta.scenes.opening import MissingBands
from rsmeta.scenes.products import writing
from rsmeta.scenes.symmetries import TestTimeAugmentation
from rsmeta.scenes.whole_scenes import Outcome, WholeScene, whole_count, whole_scenes

_LOGGER = logging.getLogger(__name__)

OnError = Literal["stop", "skip"]
FAILED = "failed.csv"


def predict(
    scenes: Sequence[str | PathLike[str] | SceneSource],
    run: Path,
    out: Path,
    *,
    tile: int | None = None,
    stride: int | None = None,
    augmentation: TestTimeAugmentation = "none",
    resolution: Resolution = "pixel",
    missing_bands: MissingBands = "error",
    complex_part: ComplexPart | None = None,
    match_resolution: bool = False,
    products: ProductOptions | None = None,
    on_error: OnError = "stop",
    workers: int = 1,
    cluster: RayCluster | None = None,
    precision: Precision | None = None,
    console: Console | None = None,
) -> Iterator[ScenePrediction]:
    """Classify scenes with the model of a run, one after the other.

    A killed call continues where it stopped, and finished scenes are skipped, see `predict_scene`.

    Args:
        scenes: Sources, or what stands for them, see `rsmeta.scenes.scene_sources`.
        run: Run folder.
        out: Folder for the products, which are named after the scenes.
        tile: Side of a tile in pixels, resized to what the model reads; None for that of the
            training chips.
        stride: Step between tiles in pixels; None for half a tile.
        augmentation: `none`, or `d4` for the mean over the eight orientations of each tile.
        resolution: `pixel` or `cell`, see `predict_scene`.
        missing_bands: `error` or `zero`, see `rsmeta.scenes.ReadOptions`.
        complex_part: What complex values are read as; None refuses them.
        match_resolution: Whether scenes whose pixels are more than 10 % larger or smaller than
            those the model was trained on are resampled to these.
        products: Which products to write, and how; None for the defaults.
        on_error: `stop` at the first scene that cannot be classified, or `skip` it: the others
            are classified, and `failed.csv` in `out` tells the path and the reason.
        workers: Processes that classify. With several, each has the model and its share of the
            processor cores, and as many scenes are under way at a time.
        cluster: The Ray cluster whose actors are the workers; None for processes of this machine.
            As many scenes as can be shared out evenly are done whole, each by one worker that
            writes its products to `out`, a folder that all machines share.
        precision: Of the backbone's matrix products; None for the recipe's, in which it was
            trained.
        console: Where to draw the progress bar; None for no bar.

    Yields:
        The products of each scene as soon as they are complete.

    Raises:
        RunError: The run cannot be loaded.
        SceneError: A scene cannot be classified (with `skip`, at the end), two scenes have
            the same name, or the Ray cluster cannot be used.
    """
    sources = scene_sources(scenes)
    model = load_run(run, merged=True, precision=precision)
    _tell_units(model, complex_part)
    options = ReadOptions(complex_part, model.card.pixel_size, match_resolution, missing_bands)
    described = _description(model, run)
    failures: list[tuple[str, str]] = []
    whole = partial(
        predict_scene,
        out_dir=out,
        tile=tile,
        stride=stride,
        augmentation=augmentation,
        resolution=resolution,
        options=options,
        products=products,
        description=described,
    )
    engine = _engine(run, model, workers, cluster, precision)
    with _progress_bar(console) as bar, _Outcomes(engine, min(workers, len(sources))) as outcomes:

        def classify(source: SceneSource, engine: Engine | None) -> ScenePrediction:
            task = bar.add_task(source.name, total=None)

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            try:
                return whole(source, model, engine=engine, progress=show)
            finally:
                bar.remove_task(task)

        for source, outcome in outcomes.of(sources, classify, whole):
            if not isinstance(outcome, SceneError):
                yield outcome
                continue
            if on_error == "stop":
                raise outcome
            failures.append((source.origin, str(outcome)))
            _write_failures(out / FAILED, failures)
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


@dataclass(frozen=True)
class _RunLoader:
    """Loads the model of a run in a worker process, for so many threads."""

    run: Path
    threads: int
    precision: Precision | None

    def __call__(self) -> TrainedModel:
        torch.set_num_threads(self.threads)
        return load_run(self.run, merged=True, precision=self.precision)


@dataclass(frozen=True)
class _ModelCopy:
    """Loads a model where it is sent to.

    Attributes:
        model: The model, on the CPU.
        threads: Threads that compute.
        on_gpu: Whether it goes to the GPU.
    """

    model: TrainedModel
    threads: int
    on_gpu: bool

    def __call__(self) -> TrainedModel:
        """The model, where it shall compute."""
        torch.set_num_threads(self.threads)
        if self.on_gpu:
            self.model.classifier.to("cuda")
        return self.model


def _engine(
    run: Path,
    model: TrainedModel,
    workers: int,
    cluster: RayCluster | None,
    precision: Precision | None,
) -> Processes | RayWorkers | None:
    """Who classifies; None for this process."""
    if cluster is not None:
        copy = _ModelCopy(model, max(1, round(cluster.cpus)), cluster.gpus > 0)
        return RayWorkers(copy, workers, cluster)
    if workers == 1:
        return None
    threads = max(1, torch.get_num_threads() // max(1, workers))
    return Processes(_RunLoader(run.resolve(), threads, precision), workers)


_Classify = Callable[[SceneSource, Engine | None], ScenePrediction]


class _Outcomes:
    """Classifies scenes with one process or several, and hands over the outcomes in order."""

    def __init__(self, engine: Processes | RayWorkers | None, at_once: int) -> None:
        self._engine = engine
        self._at_once = max(1, at_once)
        self._threads = ThreadPoolExecutor(self._at_once)

    def __enter__(self) -> "_Outcomes":
        return self

    def __exit__(self, *error: object) -> None:
        # Workers first: scenes under way then end, and keep what they have for the next time.
        if self._engine is not None:
            self._engine.close()
        self._threads.shutdown(cancel_futures=True)

    def of(
        self, sources: Sequence[SceneSource], classify: _Classify, whole: WholeScene
    ) -> Iterator[Outcome]:
        """Classify the scenes; with several processes as many scenes at once."""
        if self._engine is None:
            for source in sources:
                yield source, _attempt(classify, source, None)
            return
        first = 0
        if isinstance(self._engine, RayWorkers):
            first = whole_count(len(sources), self._engine.workers)
            yield from whole_scenes(self._engine, sources[:first], whole)
        yield from self._divided(self._engine, sources[first:], classify)

    def _divided(
        self, engine: Engine, sources: Sequence[SceneSource], classify: _Classify
    ) -> Iterator[Outcome]:
        """Divide each scene among the workers."""
        rest = iter(sources)
        waiting: deque[tuple[SceneSource, Future[ScenePrediction | SceneError]]] = deque()
        while True:
            for source in islice(rest, self._at_once - len(waiting)):
                submitted = self._threads.submit(_attempt, classify, source, engine)
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
