"""Styles of vector layers, as QGIS stores them in the table `layer_styles` of a GeoPackage."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import pandas as pd
import pyogrio

from rsmeta.scenes.legend import Legend

_OPAQUE = 255
_OUTLINE = (35, 35, 35)


def style_table(layer: str, legend: Legend) -> dict[str, object]:
    """One row of `layer_styles`: fills of the legend's colours by the column `class_id`.

    Args:
        layer: Name of the layer.
        legend: The classes.
    """
    return style_row(layer, _categories(legend), "Fill colours of the class map")


def style_row(layer: str, qml: str, description: str) -> dict[str, object]:
    """One row of `layer_styles`, the default style of a layer.

    Args:
        layer: Name of the layer.
        qml: The style.
        description: What QGIS says about it.
    """
    # QGIS compares with empty text where a GeoPackage has no catalogue and no schema.
    return {
        "f_table_catalog": "",
        "f_table_schema": "",
        "f_table_name": layer,
        "f_geometry_column": "geom",
        "styleName": layer,
        "styleQML": qml,
        "styleSLD": "",
        "useAsDefault": True,
        "description": description,
        "owner": "",
        "ui": "",
        "update_time": datetime.now(UTC),
    }


def write_styled(
    frame: "geopandas.GeoDataFrame", path: Path, layer: str, style: Mapping[str, object]
) -> None:
    """Write polygons as a layer of a new GeoPackage, with its style for QGIS.

    Args:
        frame: The polygons.
        path: The GeoPackage.
        layer: Name of the layer.
        style: See `style_row`.
    """
    frame.to_file(path, driver="GPKG", layer=layer, engine="pyogrio", geometry_type="Polygon")
    table = pd.DataFrame([style])
    pyogrio.write_dataframe(table, path, layer="layer_styles", driver="GPKG", FID="id")


def _categories(legend: Legend) -> str:
    """A categorised renderer as QML."""
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    renderer = ElementTree.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr="class_id", enableorderby="0"
    )
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for value, (name, colour) in enumerate(zip(legend.names, legend.colours, strict=True)):
        ElementTree.SubElement(
            categories, "category", value=str(value), symbol=str(value), label=name,
            render="true", type="long",
        )  # fmt: skip
        symbol = ElementTree.SubElement(
            symbols, "symbol", type="fill", name=str(value), alpha="1", clip_to_extent="1"
        )
        _fill(symbol, colour)
    return ElementTree.tostring(root, encoding="unicode")


def _fill(symbol: ElementTree.Element, colour: Sequence[int]) -> None:
    layer = ElementTree.SubElement(
        symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    )
    options = ElementTree.SubElement(layer, "Option", type="Map")
    values = {
        "color": _rgba(colour),
        "style": "solid",
        "outline_color": _rgba(_OUTLINE),
        "outline_style": "no",
    }
    for name, value in values.items():
        ElementTree.SubElement(options, "Option", name=name, type="QString", value=value)


def _rgba(colour: Sequence[int]) -> str:
    return ",".join(str(part) for part in (*colour, _OPAQUE))
