"""Who classifies scenes: this process, processes of this machine, or actors of a Ray cluster."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from rsmeta.errors import SceneError
from rsmeta.recipe import Precision
from rsmeta.runs import TrainedModel, load_run
from rsmeta.scenes import Engine, Processes, RayCluster, RayWorkers, ScenePrediction, SceneSource
from rsmeta.scenes.whole_scenes import Outcome, WholeScene, whole_count, whole_scenes


@dataclass(frozen=True)
class _RunLoader:
    """Loads the model of a run in a worker process, for so many threads."""

    run: Path
    threads: int
    precision: Precision
    compiled: bool

    def __call__(self) -> TrainedModel:
        torch.set_num_threads(self.threads)
        model = load_run(self.run, merged=True, precision=self.precision)
        if self.compiled:
            model.compile()
        return model


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


def engine_for(
    run: Path, model: TrainedModel, workers: int, cluster: RayCluster | None
) -> Processes | RayWorkers | None:
    """Who classifies scenes; None for this process.

    Args:
        run: Run folder.
        model: Its model; processes load it in the same precision, and compile it if it is.
        workers: Number of processes, or of actors.
        cluster: The Ray cluster whose actors are the workers; None for processes of this machine.

    Raises:
        SceneError: There are too few workers, or the cluster cannot be used.
    """
    if cluster is not None:
        copy = _ModelCopy(model, max(1, round(cluster.cpus)), cluster.gpus > 0)
        return RayWorkers(copy, workers, cluster)
    if workers == 1:
        return None
    threads = max(1, torch.get_num_threads() // max(1, workers))
    precision = model.recipe.compute.precision
    return Processes(_RunLoader(run.resolve(), threads, precision, model.compiled), workers)


Classify = Callable[[SceneSource, Engine | None], ScenePrediction]


class Outcomes:
    """Classifies scenes with one process or several, and hands over the outcomes in order.

    As many scenes as can be shared out evenly among the actors of a Ray cluster are done whole,
    each by one actor that writes its products to a folder that all machines share.

    Args:
        engine: Who classifies; closed at the end of the block.
        at_once: How many scenes may be under way at a time.
    """

    def __init__(self, engine: Processes | RayWorkers | None, at_once: int) -> None:
        self._engine = engine
        self._at_once = max(1, at_once)
        self._threads = ThreadPoolExecutor(self._at_once)

    def __enter__(self) -> "Outcomes":
        return self

    def __exit__(self, *error: object) -> None:
        # Workers first: scenes under way then end, and keep what they have for the next time.
        if self._engine is not None:
            self._engine.close()
        self._threads.shutdown(cancel_futures=True)

    def of(
        self, sources: Sequence[SceneSource], classify: Classify, whole: WholeScene
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
        self, engine: Engine, sources: Sequence[SceneSource], classify: Classify
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
    classify: Classify, source: SceneSource, engine: Engine | None
) -> ScenePrediction | SceneError:
    try:
        return classify(source, engine)
    except SceneError as error:
        return error
