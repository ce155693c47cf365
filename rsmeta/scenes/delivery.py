"""The products that follow from a scene's finished maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.areas import pixel_areas
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.ground import Ground
from rsmeta.scenes.item import scene_item
from rsmeta.scenes.map_writer import MapWriter
from rsmeta.scenes.model_description import ModelDescription
from rsmeta.scenes.opening import OpenScene
from rsmeta.scenes.polygons import (
    class_polygons,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)
from rsmeta.scenes.product_options import POLYGONS, Product, ProductOptions
from rsmeta.scenes.products import writing
from rsmeta.scenes.quicklook import write_quicklook
from rsmeta.scenes.source import SceneSource
from rsmeta.scenes.summary import summary


@dataclass(frozen=True)
class ClassifiedScene:
    """A scene whose maps are complete.

    Attributes:
        source: The scene.
        scene: The same, open.
        indexes: Its bands, in the classifier's order.
        grid: Its tile grid.
        classifier: The model.
        maps: The maps.
        options: Which products are asked for.
        model: What the products say about the model; None for nothing.
    """

    source: SceneSource
    scene: OpenScene
    indexes: Sequence[int | None]
    grid: TileGrid
    classifier: TileClassifier
    maps: MapWriter
    options: ProductOptions
    model: ModelDescription | None

    def deliver(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Write vectors, summary, quick-look and item, as far as they are asked for.

        Args:
            folder: Folder to write to.
            settings: How the scene was classified, for the summary.

        Raises:
            SceneError: A product cannot be made or written.
        """
        wanted, cells = self.options.products, self.maps.cells
        ground = Ground.of(self.scene.georeference)
        area = None
        if wanted & (POLYGONS | {Product.SUMMARY}):
            area = pixel_areas(ground, self.grid)
        if wanted & POLYGONS:
            self._write_polygons(folder, ground, area)
        if Product.SUMMARY in wanted:
            model = {} if self.model is None else asdict(self.model)
            values = summary(
                self.scene, cells, area, model, {**settings, **self.options.settings()}
            )
            _write_json(self._path(folder, Product.SUMMARY), values)
        if Product.QUICKLOOK in wanted:
            write_quicklook(
                self._path(folder, Product.QUICKLOOK), self.scene, self.indexes, self.classifier,
                self.grid, cells,
            )  # fmt: skip
        if Product.ITEM in wanted:
            item = scene_item(
                self.source, self.scene, self.grid, ground, self.maps, self.classifier, self.model,
                self.options,
            )  # fmt: skip
            _write_json(self._path(folder, Product.ITEM), item)

    def _write_polygons(
        self, folder: Path, ground: Ground, area: NDArray[np.float32] | None
    ) -> None:
        cells = self.maps.cells
        frame = class_polygons(cells, self.grid, ground, area, self.options.minimum_area)
        if Product.GPKG in self.options.products:
            write_geopackage(frame, cells, self._path(folder, Product.GPKG))
        if Product.PARQUET in self.options.products:
            write_geoparquet(frame, self._path(folder, Product.PARQUET))
        if Product.GEOJSON in self.options.products:
            write_geojson(frame, self._path(folder, Product.GEOJSON))

    def _path(self, folder: Path, product: Product) -> Path:
        return folder / product.file_name(self.source.name)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with writing(path):
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
