"""The report of a classified scene: one HTML page that opens offline."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from rsmeta.pages import inlined, page_template
from rsmeta.report.plot import Plot
from rsmeta.report.scene_figures import confidence_histogram, histogram_table
from rsmeta.scenes.legend import Legend, hex_colour

_UNITS = ((1e7, 1e6, "km²"), (1e4, 1e4, "ha"), (0.0, 1.0, "m²"))
"""Units of areas: from how many square metres on, and how many one is."""


def scene_report(
    name: str, facts: Mapping[str, Any], legend: Legend, quicklook: bytes, webmap: str = ""
) -> str:
    """Make a page with the map over its scene, the areas of the classes and the confidence.

    Args:
        name: Name of the scene.
        facts: See `rsmeta.scenes.summary.summary`.
        legend: The classes.
        quicklook: PNG of the map over its scene.
        webmap: File name of a map beside the page that can be moved; empty for none.

    Returns:
        HTML that needs no other file and no network.
    """
    colours = [f"#{hex_colour(colour)}" for colour in legend.colours]
    classes = [{**row, "colour": colours[row["class_id"]]} for row in facts["classes"]]
    classes.sort(key=lambda row: -row["pixels"])
    total = facts["area_m2"]
    factor, unit = (1.0, "") if total is None else _unit(total)
    plot = _histogram(facts["confidence"]["histogram"])
    return page_template("scene.html.j2").render(
        name=name,
        facts=facts,
        classes=[row for row in classes if row["pixels"]],
        absent=[row["class"] for row in classes if not row["pixels"]],
        unit=unit,
        factor=factor,
        quicklook=inlined(quicklook),
        figures=[(plot, inlined(plot.png()))],
        webmap=quote(webmap),
    )


def _unit(square_metres: float) -> tuple[float, str]:
    """Square metres of the unit in which an area is read well, and its name."""
    return next((size, name) for least, size, name in _UNITS if square_metres >= least)


def _histogram(histogram: Mapping[str, Any]) -> Plot:
    caption = (
        "How sure the model is: the calibrated probability of the class that each pixel is given. "
        "Where it is low the map is a guess."
    )
    return Plot("confidence", caption, confidence_histogram, histogram_table(histogram), (7.0, 3.8))
