"""Many scenes on a Ray cluster: workers take them whole, and write their products themselves."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice

from rsmeta.errors import SceneError
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.predict import ScenePrediction
from rsmeta.scenes.ray_engine import RayWorkers
from rsmeta.scenes.source import SceneSource

Outcome = tuple[SceneSource, ScenePrediction | SceneError]
WholeScene = Callable[[SceneSource, TileClassifier], ScenePrediction]

_WAITING_PER_WORKER = 3


def whole_count(scenes: int, workers: int) -> int:
    """How many of so many scenes are done whole; the others are divided among the workers.

    As many as keep all workers busy alike: with fewer scenes than workers, each is divided.
    """
    return scenes - scenes % workers


def whole_scenes(
    engine: RayWorkers, sources: Sequence[SceneSource], classify: WholeScene
) -> Iterator[Outcome]:
    """Let each worker classify scenes from reading to products.

    A scene whose worker dies is continued by another from the journal in the output folder.

    Args:
        engine: The workers.
        sources: The scenes.
        classify: Classifies one of them; can be pickled.

    Yields:
        The outcomes in the order of the scenes.
    """
    rest = iter(sources)
    waiting: deque[tuple[SceneSource, Future[ScenePrediction]]] = deque()
    while True:
        for source in islice(rest, _WAITING_PER_WORKER * engine.workers - len(waiting)):
            waiting.append((source, engine.submit(_classify_whole, classify, source)))
        if not waiting:
            return
        source, future = waiting.popleft()
        yield source, _outcome(engine, future)


def _classify_whole(
    classifier: TileClassifier, classify: WholeScene, source: SceneSource
) -> ScenePrediction:
    return classify(source, classifier)


def _outcome(engine: RayWorkers, future: "Future[ScenePrediction]") -> ScenePrediction | SceneError:
    try:
        prediction: ScenePrediction = engine.result(future)
    except SceneError as error:
        return error
    for path in prediction.files.values():
        if not path.is_file():
            return SceneError(
                f"a Ray worker wrote '{path}', but it is not there on this machine: choose an "
                "--out in a folder that all machines of the cluster share"
            )
    return prediction
