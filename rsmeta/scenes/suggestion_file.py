"""Suggested tiles as a GeoPackage that an analyst labels in QGIS."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from rsmeta.scenes.products import writing
from rsmeta.scenes.qgis_style import style_row, write_styled
from rsmeta.scenes.suggest import SuggestedTiles

LAYER = "suggestions"
LABEL = "label"

_OUTLINE = "255,221,0,255"
_BUFFER = "0,0,0,255"


def suggestion_frame(found: SuggestedTiles, classes: Sequence[str]) -> "geopandas.GeoDataFrame":
    """Suggested tiles as polygons.

    Args:
        found: The tiles.
        classes: Class names of the model.

    Returns:
        One row a tile: `rank` from 1, `predicted_class`, `confidence` in [0, 1], `score`, `label`
        (empty), geometry in the CRS of the scene (a geographic one, where it has ground control
        points or RPCs only; pixels, y down, where it has nothing).
    """
    tiles = found.tiles
    columns = {
        "rank": np.arange(1, len(tiles) + 1),
        "predicted_class": [classes[index] for index in tiles.label],
        "confidence": tiles.confidence,
        "score": tiles.score,
        LABEL: pd.array([None] * len(tiles), dtype="string"),
    }
    return geopandas.GeoDataFrame(columns, geometry=_outlines(found), crs=found.ground.crs)


def write_suggestions(frame: "geopandas.GeoDataFrame", classes: Sequence[str], path: Path) -> None:
    """Write suggested tiles as a GeoPackage with a style for QGIS; the file appears complete.

    The style outlines the tiles with their rank beside, and offers the classes for `label`.

    Raises:
        SceneError: The file cannot be written.
    """
    draft = path.with_name(f".{path.stem}.draft.gpkg")
    with writing(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        try:
            style = style_row(LAYER, _style(classes), "Tiles to label")
            write_styled(frame, draft, LAYER, style)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _outlines(found: SuggestedTiles) -> NDArray[np.object_]:
    tiles, grid, ground = found.tiles, found.work.grid, found.ground
    left, top = tiles.column * grid.stride, tiles.row * grid.stride
    outlines: NDArray[np.object_] = shapely.box(left, top, left + grid.tile, top + grid.tile)
    if not ground.is_straight:
        outlines = shapely.segmentize(outlines, grid.tile / 8)
    placed: NDArray[np.object_] = shapely.transform(
        outlines, lambda xy: np.column_stack(ground.to_map(*xy.T))
    )
    return placed


def _style(classes: Sequence[str]) -> str:
    """Outlines with the rank as QGIS label, and a list of the classes to fill in, as QML."""
    root = ElementTree.Element(
        "qgis", version="3.22", styleCategories="Symbology|Labeling|Fields|Forms",
        labelsEnabled="1",
    )  # fmt: skip
    renderer = ElementTree.SubElement(root, "renderer-v2", type="singleSymbol", enableorderby="0")
    symbol = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "symbols"), "symbol", type="fill", name="0", alpha="1"
    )
    layer = ElementTree.SubElement(
        symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    )
    line = {"outline_color": _OUTLINE, "outline_style": "solid", "outline_width": "0.6"}
    _options(ElementTree.SubElement(layer, "Option", type="Map"), line | {"style": "no"})
    _rank_labels(ElementTree.SubElement(root, "labeling", type="simple"))
    _class_list(ElementTree.SubElement(root, "fieldConfiguration"), classes)
    return ElementTree.tostring(root, encoding="unicode")


def _rank_labels(labeling: ElementTree.Element) -> None:
    settings = ElementTree.SubElement(labeling, "settings", calloutType="simple")
    text = ElementTree.SubElement(
        settings, "text-style", fieldName="rank", isExpression="0", fontSize="9",
        textColor=_OUTLINE,
    )  # fmt: skip
    ElementTree.SubElement(
        text, "text-buffer", bufferDraw="1", bufferSize="0.8", bufferColor=_BUFFER
    )


def _class_list(fields: ElementTree.Element, classes: Sequence[str]) -> None:
    """The editor of `label`: a list of the classes."""
    field = ElementTree.SubElement(fields, "field", name=LABEL, configurationFlags="None")
    editor = ElementTree.SubElement(field, "editWidget", type="ValueMap")
    values = ElementTree.SubElement(
        ElementTree.SubElement(
            ElementTree.SubElement(editor, "config"), "Option", type="Map"
        ),
        "Option", name="map", type="List",
    )  # fmt: skip
    for name in classes:
        _options(ElementTree.SubElement(values, "Option", type="Map"), {name: name})


def _options(parent: ElementTree.Element, values: dict[str, str]) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, "Option", name=name, type="QString", value=value)
