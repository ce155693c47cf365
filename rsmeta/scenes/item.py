"""A STAC item of a scene's products."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.mlm import (
    InputStructure,
    MLMExtension,
    ModelInput,
    ModelOutput,
    ResultStructure,
    TaskType,
)
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension

from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.footprint import footprint
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.ground import Ground
from rsmeta.scenes.legend import Legend, hex_colour
from rsmeta.scenes.map_writer import BYTE_SCALE, MapWriter
from rsmeta.scenes.model_description import ModelDescription
from rsmeta.scenes.opening import OpenScene
from rsmeta.scenes.product_options import Product, ProductOptions
from rsmeta.scenes.products import Georeference
from rsmeta.scenes.source import SceneSource

_COG = str(pystac.MediaType.COG)
_TYPES = {
    Product.CLASSES: (_COG, "Classes", ["data"]),
    Product.CONFIDENCE: (_COG, "Probability of the most probable class", ["data"]),
    Product.PROBABILITIES: (_COG, "Probability of each class", ["data"]),
    Product.GPKG: (str(pystac.MediaType.GEOPACKAGE), "Regions of equal class", ["data"]),
    Product.PARQUET: (str(pystac.MediaType.PARQUET), "Regions of equal class", ["data"]),
    Product.GEOJSON: (str(pystac.MediaType.GEOJSON), "Regions of equal class", ["data"]),
    Product.SUMMARY: (str(pystac.MediaType.JSON), "Areas of the classes", ["metadata"]),
    Product.QUICKLOOK: (str(pystac.MediaType.PNG), "Classes over the scene", ["overview"]),
    Product.REPORT: (str(pystac.MediaType.HTML), "Report of the classes", ["overview"]),
    Product.WEBMAP: (str(pystac.MediaType.HTML), "Map of the classes", ["overview"]),
}


def scene_item(
    source: SceneSource,
    scene: OpenScene,
    grid: TileGrid,
    ground: Ground,
    maps: MapWriter,
    classifier: TileClassifier,
    model: ModelDescription | None,
    options: ProductOptions,
) -> dict[str, Any]:
    """The STAC item of a scene's products, as JSON; assets lie beside it.

    The item's time is that of the scene: by its own STAC item, by the TIFF tag, or else when its
    file was changed; `rsmeta:datetime_of` says which. The MLM extension describes the model that
    classified it.

    Args:
        source: The scene.
        scene: The same, open.
        grid: Its tile grid.
        ground: Where it lies.
        maps: Its finished maps.
        classifier: The model.
        model: More about the model, for the MLM extension; None for none.
        options: The products, this one among them.
    """
    place = footprint(ground, scene.shape)
    taken, kind = _taken(source, scene)
    item = pystac.Item(
        id=source.name,
        geometry=None if place is None else place.geometry,
        bbox=None if place is None else place.bbox,
        datetime=taken,
        properties={"title": f"Classes of {source.name}", "rsmeta:datetime_of": kind},
    )
    for product in Product:
        if product in options.products and product is not Product.ITEM:
            media, title, roles = _TYPES[product]
            href = f"./{product.file_name(source.name)}"
            item.add_asset(product.value, pystac.Asset(href, title, None, media, roles))
    projected = ProjectionExtension.ext(item, add_if_missing=True)
    projected.apply(**_projection(maps.place), shape=list(maps.shape))
    for product in maps.files:
        _describe(item.assets[product.value], product, maps.legend, options)
    if model is not None:
        _describe_model(item, model, classifier, grid)
    found: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    return found


def _taken(source: SceneSource, scene: OpenScene) -> tuple[datetime, str]:
    if source.taken is not None:
        return source.taken, "scene"
    for layer in scene.layers:
        try:
            stamp = datetime.strptime(
                layer.dataset.tags().get("TIFFTAG_DATETIME", ""), "%Y:%m:%d %H:%M:%S"
            )
        except ValueError:
            continue
        return stamp.replace(tzinfo=UTC), "TIFFTAG_DATETIME"
    for layer in scene.layers:
        if Path(layer.path).is_file():
            changed = Path(layer.path).stat().st_mtime
            return datetime.fromtimestamp(changed, UTC), "file"
    return datetime.now(UTC), "prediction"


def _projection(place: Georeference) -> dict[str, Any]:
    """Fields of the projection extension; those that are not known are null."""
    transform = list(place.transform)[:6] if place.has_transform else None
    crs = place.crs if place.is_mapped else None
    if crs is None:
        return {"code": None, "transform": transform}
    authority = crs.to_authority()
    if authority is None:
        return {"code": None, "wkt2": crs.to_wkt(), "transform": transform}
    return {"code": ":".join(authority), "transform": transform}


def _describe(
    asset: pystac.Asset, product: Product, legend: Legend, options: ProductOptions
) -> None:
    raster = RasterExtension.ext(asset, add_if_missing=True)
    if product is Product.CLASSES:
        kind = DataType(legend.dtype.name)
        raster.apply([RasterBand.create(nodata=legend.no_class, data_type=kind)])
        ClassificationExtension.ext(asset, add_if_missing=True).apply(classes=_classes(legend))
        return
    if product is Product.CONFIDENCE and options.confidence == "float":
        # JSON knows no number for it.
        raster.apply([RasterBand.create(nodata="nan", data_type=DataType.FLOAT32)])  # type: ignore[arg-type]
        return
    bands = 1 if product is Product.CONFIDENCE else len(legend.classes)
    band = {"nodata": 255, "data_type": DataType.UINT8, "scale": BYTE_SCALE, "offset": 0.0}
    raster.apply([RasterBand.create(**band) for _ in range(bands)])  # type: ignore[arg-type]


def _classes(legend: Legend) -> list[Classification]:
    found = [
        Classification.create(value=value, name=name, description=name, color_hint=hex_colour(rgb))
        for value, (name, rgb) in enumerate(zip(legend.names, legend.colours, strict=True))
    ]
    return [*found, Classification.create(value=legend.no_class, name="nodata", nodata=True)]


def _describe_model(
    item: pystac.Item, model: ModelDescription, classifier: TileClassifier, grid: TileGrid
) -> None:
    tile = [-1, len(classifier.bands), grid.tile, grid.tile]
    given = ModelInput.create(
        "tiles", list(classifier.bands),
        InputStructure.create(tile, ["batch", "bands", "height", "width"], DataType.FLOAT32),
    )  # fmt: skip
    classes = [Classification.create(value=i, name=n) for i, n in enumerate(classifier.classes)]
    result = ResultStructure.create([-1, len(classes)], ["batch", "classes"], DataType.FLOAT32)
    made = ModelOutput.create(
        "probabilities", [TaskType.SCENE_CLASSIFICATION], result, classes=classes
    )
    MLMExtension.ext(item, add_if_missing=True).apply(
        model.run, model.architecture, [TaskType.SCENE_CLASSIFICATION], [given], [made],
        framework="PyTorch", framework_version=model.versions.get("torch"), pretrained=True,
    )  # fmt: skip
    details: Mapping[str, Any] = {
        "rsmeta:method": model.method,
        "rsmeta:temperature": model.temperature,
        "rsmeta:backbone_sha256": model.backbone_sha256,
    }
    item.properties.update(details)
