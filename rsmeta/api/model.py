"""A trained model in a notebook: scenes in, maps and polygons out."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from rsmeta.api.bands import Bands, named_bands
from rsmeta.api.card import card
from rsmeta.api.prediction import Prediction
from rsmeta.api.run import Run
from rsmeta.prediction import predict, read_options, single_scene
from rsmeta.prediction_options import ClassificationOptions, PredictionOptions
from rsmeta.runs import TrainedModel, load_run
from rsmeta.scenes import ClassifiedRows, SceneSource, predict_rows, scene_sources

SceneLike = str | PathLike[str] | SceneSource


class Model:
    """The model of a run; classifies scenes.

    Args:
        run: The run.
        trained: Its model, merged.
    """

    def __init__(self, run: Run, trained: TrainedModel) -> None:
        self.run = run
        self.trained = trained

    @classmethod
    def of(cls, run: Run) -> "Model":
        """Load the model of a run.

        Raises:
            RunError: The run is incomplete, or its parts do not fit each other.
        """
        return cls(run, load_run(run.folder, merged=True))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.trained.classes

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that scenes must have."""
        return self.trained.bands

    @property
    def tile_size(self) -> int:
        """Side in pixels of the chips it was trained on, and of tiles."""
        return self.trained.tile_size

    @property
    def pixel_size(self) -> float | None:
        """Side of a pixel in metres; None where the chips did not tell."""
        return self.trained.card.pixel_size

    def predict(
        self,
        scene: SceneLike,
        out: str | PathLike[str] = "predictions",
        *,
        bands: Bands = None,
        progress: bool = False,
        **options: Any,
    ) -> Prediction:
        """Classify a scene; one that is finished in `out` already is not classified again.

        Args:
            scene: A raster (path or URL), a path with `{band}`, or a STAC item.
            out: Folder for the products, which are named after the scene.
            bands: Names of the bands in file order, or of each its file or STAC asset; None for
                those that the scene gives itself.
            progress: Whether to draw a bar.
            **options: Fields of `rsmeta.prediction_options.PredictionOptions`, such as `stride`,
                `augmentation="d4"`, `minimum_confidence` and `products="classes,gpkg,geojson"`.

        Returns:
            The maps, the polygons, and where they are.

        Raises:
            SceneError: The scene cannot be classified, or an option is not allowed.
        """
        source = single_scene(scene, named_bands(bands))
        (found,) = self.predict_scenes([source], out, progress=progress, **options)
        return found

    def predict_scenes(
        self,
        scenes: Sequence[SceneLike],
        out: str | PathLike[str] = "predictions",
        *,
        bands: Bands = None,
        progress: bool = False,
        **options: Any,
    ) -> Iterator[Prediction]:
        """Classify several scenes.

        Args:
            scenes: Rasters, folders, globs, lists, STAC items and collections; see
                `rsmeta.scenes.scene_sources`.
            out: See `predict`, as the other arguments; `workers` and `on_error="skip"` are for
                many scenes.
            bands: See `predict`.
            progress: See `predict`.
            **options: See `predict`.

        Yields:
            Each scene as soon as its products are complete.

        Raises:
            SceneError: See `predict`.
        """
        chosen = PredictionOptions.of(options)
        console = Console(stderr=True, markup=False, emoji=False) if progress else None
        for written in predict(
            scene_sources(scenes, named_bands(bands)), self.run.folder, Path(out), chosen,
            model=self.trained, console=console,
        ):  # fmt: skip
            yield Prediction.of(written)

    def predict_rows(
        self, scene: SceneLike, *, bands: Bands = None, **options: Any
    ) -> Iterator[ClassifiedRows]:
        """Classify a scene and hand over its rows of cells as soon as they are final.

        Nothing is written, and never more than a few tile rows are in memory.

        Args:
            scene: See `predict`.
            bands: See `predict`.
            **options: Fields of `rsmeta.prediction_options.ClassificationOptions`.

        Yields:
            The rows from top to bottom, without gaps; a cell is a square of gcd(tile, stride)
            pixels.

        Raises:
            SceneError: See `predict`.
        """
        chosen = ClassificationOptions.of(options)
        source = single_scene(scene, named_bands(bands))
        yield from predict_rows(
            source,
            self.trained,
            tile=chosen.tile,
            stride=chosen.stride,
            augmentation=chosen.augmentation,
            options=read_options(self.trained, chosen),
        )

    def probabilities(self, chips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map chips (n, bands, height, width) in physical units to probabilities (n, classes)."""
        return self.trained.probabilities(np.ascontiguousarray(chips, dtype=np.float32))

    def _repr_html_(self) -> str:
        found = self.trained.card
        size = "not known" if self.pixel_size is None else f"{self.pixel_size:.3g} m"
        facts = {
            "classes": self.classes,
            "bands": self.bands,
            "tile": f"{self.tile_size} pixels of {size}",
            "backbone": found.backbone,
            "method": self.trained.recipe.peft.method,
            "temperature": found.temperature,
        }
        return card("Model", self.run.folder.name, facts)
