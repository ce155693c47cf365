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
from rsmeta.scenes.footprint import footprint
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.ground import Ground
from rsmeta.scenes.item import scene_item
from rsmeta.scenes.map_writer import MapWriter
from rsmeta.scenes.model_description import ModelDescription
from rsmeta.scenes.opening import OpenScene
from rsmeta.scenes.picture import scene_picture
from rsmeta.scenes.polygons import (
    class_polygons,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)
from rsmeta.scenes.product_options import PICTURES, POLYGONS, Product, ProductOptions
from rsmeta.scenes.products import writing
from rsmeta.scenes.quicklook import quicklook
from rsmeta.scenes.scene_report import scene_report
from rsmeta.scenes.source import SceneSource
from rsmeta.scenes.summary import summary
from rsmeta.scenes.webmap import webmap


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
        """Write vectors, summary, quick-look, pages and item, as far as they are asked for.

        Args:
            folder: Folder to write to.
            settings: How the scene was classified, for the summary.

        Raises:
            SceneError: A product cannot be made or written.
        """
        wanted, cells = self.options.products, self.maps.cells
        ground = Ground.of(self.scene.georeference)
        area = None
        if wanted & (POLYGONS | {Product.SUMMARY, Product.REPORT}):
            area = pixel_areas(ground, self.grid)
        if wanted & POLYGONS:
            self._write_polygons(folder, ground, area)
        facts: dict[str, Any] = {}
        if wanted & {Product.SUMMARY, Product.REPORT}:
            model = {} if self.model is None else asdict(self.model)
            facts = summary(self.scene, cells, area, model, {**settings, **self.options.settings()})
        if Product.SUMMARY in wanted:
            _write_json(self._path(folder, Product.SUMMARY), facts)
        if wanted & PICTURES:
            self._write_pictures(folder, ground, facts)
        if Product.ITEM in wanted:
            item = scene_item(
                self.source, self.scene, self.grid, ground, self.maps, self.classifier, self.model,
                self.options,
            )  # fmt: skip
            _write_json(self._path(folder, Product.ITEM), item)

    def _write_pictures(self, folder: Path, ground: Ground, facts: Mapping[str, Any]) -> None:
        cells, wanted = self.maps.cells, self.options.products
        picture = scene_picture(self.scene, self.indexes, self.classifier, self.grid, cells)
        drawn = quicklook(picture, cells) if wanted & {Product.QUICKLOOK, Product.REPORT} else b""
        if Product.QUICKLOOK in wanted:
            self._write(folder, Product.QUICKLOOK, drawn)
        if Product.REPORT in wanted:
            name = Product.WEBMAP.file_name(self.source.name)
            beside = name if Product.WEBMAP in wanted else ""
            page = scene_report(self.source.name, facts, cells.legend, drawn, beside)
            self._write(folder, Product.REPORT, page.encode("utf-8"))
        if Product.WEBMAP in wanted:
            outline = footprint(ground, self.scene.shape)
            page = webmap(self.source.name, picture, cells, self.scene.georeference, outline)
            self._write(folder, Product.WEBMAP, page.encode("utf-8"))

    def _write(self, folder: Path, product: Product, content: bytes) -> None:
        path = self._path(folder, product)
        with writing(path):
            path.write_bytes(content)

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
