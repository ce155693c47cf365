"""Scene in, the tiles out whose labels would help the model most."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsmeta.errors import SceneError
from rsmeta.scenes.candidates import CandidatePool, Candidates
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.engines import ThisProcess
from rsmeta.scenes.ground import Ground
from rsmeta.scenes.informativeness import diverse_batch
from rsmeta.scenes.journal import Journal
from rsmeta.scenes.opening import ReadOptions, open_scene
from rsmeta.scenes.planning import ScenePlan, plan_scene
from rsmeta.scenes.predict import Progress, journalled_units
from rsmeta.scenes.reader import match_bands, read_tiles
from rsmeta.scenes.source import SceneSource
from rsmeta.scenes.work import GridOptions, SceneWork


class FeatureClassifier(TileClassifier, Protocol):
    """A classifier that tells what its head reads."""

    def features(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of tiles.

        Args:
            tiles: See `TileClassifier.probabilities`.

        Returns:
            (tiles, width).
        """
        ...


@dataclass(frozen=True)
class SuggestedTiles:
    """Tiles of a scene, the most helpful first.

    Attributes:
        tiles: The tiles.
        work: How they lie in the scene.
        ground: Where the scene lies.
    """

    tiles: Candidates
    work: SceneWork
    ground: Ground


def suggest_tiles(
    source: SceneSource,
    classifier: FeatureClassifier,
    weights: NDArray[np.float64],
    count: int,
    journal_folder: Path,
    *,
    options: ReadOptions | None = None,
    progress: Progress | None = None,
) -> SuggestedTiles:
    """Choose the tiles whose labels would help most: uncertain, of rare classes, unlike each other.

    The scene streams by as in `predict_scene`, and only the best thousand tiles or so stay; these
    are then read again for their features. A killed call continues where it stopped.

    Args:
        source: The scene.
        classifier: The model.
        weights: (classes,), see `rsmeta.scenes.informativeness.rarity`.
        count: How many tiles to choose, 1 or more; fewer where the scene has not as many.
        journal_folder: Where a hidden folder keeps what a killed call leaves behind.
        options: How to read the scene.
        progress: Called with the number of tiles done and the number of tiles.

    Raises:
        SceneError: The scene cannot be read or does not fit the model, or has no tile that lies
            whole in it and has data.
    """
    if count < 1:
        raise SceneError(f"{count} tiles are too few to suggest; allowed: 1 or more")
    plan = plan_scene(source, classifier, options or ReadOptions(), GridOptions())
    grid = plan.work.grid
    journal = Journal(journal_folder, f"{source.name}-suggestions", plan.keys.work)
    with rasterio.Env(), journal:
        pool = _pool(plan, classifier, journal, CandidatePool(grid, weights, count), progress)
        journal.remove()
    if not len(pool):
        raise SceneError(
            f"scene '{source.origin}' has no tile of {grid.tile} px that lies whole in it with "
            "nine tenths of its pixels valid; give a larger scene"
        )
    places = np.stack([pool.row, pool.column], axis=1)
    found = np.concatenate(list(_features(plan.work, classifier, places)))
    apart = -(-grid.tile // grid.stride)
    chosen = diverse_batch(found, pool.score, places, apart, count)
    return SuggestedTiles(pool.take(chosen), plan.work, Ground.of(plan.georeference))


def _pool(
    plan: ScenePlan,
    classifier: TileClassifier,
    journal: Journal,
    pool: CandidatePool,
    progress: Progress | None,
) -> Candidates:
    grid = plan.work.grid
    with closing(journalled_units(plan, ThisProcess(classifier), journal)) as units:
        for rows, unit in units:
            pool.add(rows, unit)
            if progress is not None:
                progress(rows.stop * grid.columns, grid.rows * grid.columns)
    return pool.best


def _features(
    work: SceneWork, classifier: FeatureClassifier, places: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """Features of tiles by their row and column, in batches."""
    with (
        rasterio.Env(GDAL_CACHEMAX=work.cache_bytes),
        open_scene(work.source, classifier.bands, work.options) as scene,
    ):
        indexes = match_bands(scene, classifier.bands, work.options.missing_bands)
        for batch in np.split(places, range(work.batch_size, len(places), work.batch_size)):
            values = []
            for row, column in batch.tolist():
                rows, columns = range(row, row + 1), range(column, column + 1)
                (tile,), _ = read_tiles(scene, indexes, work.grid, rows, columns, classifier)
                values.append(tile.values)
            yield classifier.features(np.stack(values))
