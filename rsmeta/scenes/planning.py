"""What is to be done for a scene, found out from its header."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.fingerprints import Keys, prediction_keys
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import OpenScene, ReadOptions, open_scene
from rsmeta.scenes.products import Georeference
from rsmeta.scenes.reader import match_bands
from rsmeta.scenes.source import SceneSource
from rsmeta.scenes.work import GridOptions, SceneWork, plan_work

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScenePlan:
    """A scene that has been looked at.

    Attributes:
        work: Its units.
        georeference: Where it lies.
        keys: What determines its prediction.
    """

    work: SceneWork
    georeference: Georeference
    keys: Keys


def plan_scene(
    source: SceneSource, classifier: TileClassifier, options: ReadOptions, grid: GridOptions
) -> ScenePlan:
    """Look at a scene, without reading its pixels.

    Args:
        source: The scene.
        classifier: Model that classifies tiles.
        options: How to read the scene.
        grid: How to lay tiles over it.

    Raises:
        SceneError: The scene cannot be opened, its bands or the tiles do not fit the model, there
            are too many cells, or a row of it does not fit into memory.
    """
    with open_scene(source, classifier.bands, options) as opened:
        indexes = match_bands(opened, classifier.bands, options.missing_bands)
        _tell_missing(opened.name, classifier.bands, indexes)
        _tell_resolution(opened, options)
        work = plan_work(source, opened, classifier, options, grid)
        _tell_tile(work.grid, classifier)
        keys = prediction_keys(work, opened, classifier.fingerprint)
        return ScenePlan(work, opened.georeference, keys)


def _tell_missing(name: str, bands: Sequence[str], indexes: Sequence[int | None]) -> None:
    missing = [band for band, index in zip(bands, indexes, strict=True) if index is None]
    if missing:
        _LOGGER.warning(
            "scene '%s' lacks %s, taken as the training mean; only a model trained with "
            "augmentation.band_dropout is used to that",
            name,
            ", ".join(missing),
        )


def _tell_resolution(scene: OpenScene, options: ReadOptions) -> None:
    if options.unfit(scene.pixel_size) and not options.match_resolution:
        _LOGGER.warning(
            "scene '%s' has pixels of %s, the model was trained on %.3g m: it may classify badly; "
            "--match-resolution resamples the scene",
            scene.name,
            scene.pixel_size,
            options.pixel_size,
        )


def _tell_tile(grid: TileGrid, classifier: TileClassifier) -> None:
    if grid.tile != classifier.tile_size:
        _LOGGER.warning(
            "tiles of %d px are resized as the training chips of %d px were: to the model things "
            "look %.3g times as large as in training",
            grid.tile,
            classifier.tile_size,
            classifier.tile_size / grid.tile,
        )
