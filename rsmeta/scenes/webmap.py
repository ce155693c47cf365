"""A page with the classes of a scene on a map that can be moved; it opens offline."""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform

from rsmeta.pages import inlined, page_template
from rsmeta.scenes.cell_map import CellMap
from rsmeta.scenes.footprint import Footprint
from rsmeta.scenes.legend import hex_colour
from rsmeta.scenes.picture import ScenePicture, coloured, occurring
from rsmeta.scenes.products import Georeference

_WEB_MERCATOR = CRS.from_epsg(3857)
_FARTHEST_LATITUDE = 85.0  # Web Mercator ends at 85.06°
_CONFIDENCE = "viridis"
_LARGEST_GROWTH = 16  # of the number of pixels; a turn by 45° doubles it


def webmap(
    name: str,
    picture: ScenePicture,
    cells: CellMap,
    place: Georeference,
    outline: Footprint | None,
) -> str:
    """Make a page of Leaflet with scene, classes and confidence, and a slider for their opacity.

    Scene and classes are warped to Web Mercator. A scene that does not tell where it lies, or that
    reaches over the antimeridian or beyond 85° of latitude, is shown in its own pixels.

    Args:
        name: Name of the scene.
        picture: The scene.
        cells: Its classes.
        place: Where it lies.
        outline: Its outline; None where it is not known.

    Returns:
        HTML that needs no other file and no network: Leaflet and pictures are inside.
    """
    layers = [picture.look, coloured(cells, picture.classes), _confidence(picture.confidence)]
    warped = None
    if outline is not None and _fits(outline):
        warped = _on_web_mercator(layers, place.coarser(picture.factor))
    height, width = picture.look.shape[:2]
    shown = warped or _Layers(layers, [[0, 0], [height, width]])
    look, classes, confidence = (f"data:image/png;base64,{_png(i)}" for i in shown.images)
    pixels = cells.sum_per_class(cells.valid_pixels)
    legend = [
        {
            "name": cells.legend.names[value],
            "colour": f"#{hex_colour(cells.legend.colours[value])}",
            "share": pixels[value] / pixels.sum(),
        }
        for value in occurring(cells)
    ]
    steps = colormaps[_CONFIDENCE](np.linspace(0, 1, 9), bytes=True)
    leaflet = files("rsmeta.report") / "leaflet"
    return page_template("webmap.html.j2").render(
        name=name,
        legend=legend,
        ramp=[f"#{hex_colour(step[:3])}" for step in steps.tolist()],
        map={
            "located": warped is not None,
            "bounds": shown.bounds,
            "look": look,
            "classes": classes,
            "confidence": confidence,
        },
        # What would be loaded from other files: icons that this page does not show, a source map.
        style=re.sub(r"url\([^)]*\)", "none", (leaflet / "leaflet.css").read_text("utf-8")),
        script=re.sub(r"//# source.*", "", (leaflet / "leaflet.js").read_text("utf-8")),
        licence=(leaflet / "LICENSE").read_text("utf-8"),
    )


@dataclass(frozen=True)
class _Layers:
    """Pictures of one size, (rows, columns, 4), and their southwest and northeast corners."""

    images: Sequence[NDArray[np.uint8]]
    bounds: list[list[float]]


def _fits(outline: Footprint) -> bool:
    west, south, east, north = outline.bbox
    return west < east and south > -_FARTHEST_LATITUDE and north < _FARTHEST_LATITUDE


def _on_web_mercator(images: Sequence[NDArray[np.uint8]], place: Georeference) -> _Layers | None:
    """Warp pictures that lie at one place; transparent beyond it. Bounds in degrees.

    None where a broken georeferencing would make them many times as large, or nothing.
    """
    stacked = np.concatenate([image.transpose(2, 0, 1) for image in images])
    bands, height, width = stacked.shape
    if place.has_transform or place.gcps:
        place = replace(place, rpcs=None)
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "photometric": "MINISBLACK"}
    shape = {"count": bands, "height": height, "width": width}
    with MemoryFile() as memory, warnings.catch_warnings():
        # Said when the file is made, before it is told where it lies.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile, **shape, alpha="no") as target:
            place.write(target)
            target.write(stacked)
        with (
            memory.open() as source,
            WarpedVRT(source, crs=_WEB_MERCATOR, **_source_of(place)) as warped,
        ):
            if not 0 < warped.width * warped.height <= _LARGEST_GROWTH * height * width:
                return None
            values, bounds = warped.read(), warped.bounds
    xs, ys = (bounds.left, bounds.right), (bounds.bottom, bounds.top)
    (west, east), (south, north) = transform(_WEB_MERCATOR, "EPSG:4326", xs, ys)[:2]
    found = [part.transpose(1, 2, 0) for part in np.split(values, len(images))]
    return _Layers(found, [[south, west], [north, east]])


def _source_of(place: Georeference) -> dict[str, Any]:
    """What says where pictures lie, as arguments of a warp; RPCs at their mean height."""
    if place.rpcs is not None:
        return {"src_crs": CRS.from_epsg(4326), "RPC_HEIGHT": place.rpcs.height_off}
    return {"src_crs": place.crs if place.has_transform else place.gcp_crs}


def _confidence(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Confidence in colours, transparent where there is none."""
    picture: NDArray[np.uint8] = colormaps[_CONFIDENCE](np.nan_to_num(confidence), bytes=True)
    picture[..., 3] = 255 * np.isfinite(confidence)
    return picture


def _png(image: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, format="png", optimize=True)
    return inlined(stream.getvalue())
