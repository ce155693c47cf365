"""A small picture of the class map over its scene, with a legend."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rsmeta.report.scene_figures import class_map
from rsmeta.scenes.cell_map import CellMap
from rsmeta.scenes.picture import ScenePicture, coloured, occurring

_MOST_NAMES = 24
_INCHES, _DOTS = 8.0, 150
_MAP_OPACITY = 0.5


def quicklook(picture: ScenePicture, cells: CellMap) -> bytes:
    """Draw the class map over a stretched look of the scene, with the classes that occur.

    Args:
        picture: The scene.
        cells: Its classes.

    Returns:
        PNG.
    """
    overlay = coloured(cells, picture.classes)
    overlay[..., 3] = overlay[..., 3] // 255 * round(255 * _MAP_OPACITY)
    order = occurring(cells)
    names, colours = cells.legend.names, cells.legend.colours
    legend = [(names[value], colours[value]) for value in order[:_MOST_NAMES]]
    long_side = max(picture.look.shape[:2])
    size = [max(1.0, _INCHES * side / long_side) for side in picture.look.shape[1::-1]]
    figure = Figure(figsize=(size[0], size[1]), dpi=_DOTS)
    axes = figure.add_axes((0, 0, 1, 1))
    class_map(picture.look, overlay, legend, len(order) - len(legend), axes)
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(
        stream, format="png", bbox_inches="tight", pad_inches=0.1, metadata={"Software": None}
    )
    return stream.getvalue()
