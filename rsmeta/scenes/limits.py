"""How large a scene may be: cells are kept in memory, and some rows of pixels at a time."""

from rsmeta.errors import SceneError
from rsmeta.memory import require_memory
from rsmeta.scenes.grid import TileGrid

_MAX_CELLS = 20_000_000
_CELL_BYTES = 10  # class, confidence and number of valid pixels
_WAITING_ROWS = 2048 + 4 * 256  # of pixels: masks until whole blocks are there, and these
_UNITS = 3  # under way: read ahead, classified, written
_DOUBLE_BYTES = 8


def require_size(grid: TileGrid, classes: int, unit_rows: int) -> None:
    """Refuse scenes that are too large, before anything is allocated for them.

    Args:
        grid: The tile grid.
        classes: Number of classes.
        unit_rows: Tile rows that are read together.

    Raises:
        SceneError: There are too many cells.
        MemoryError: The rows under way take more memory than is free.
    """
    rows, columns = grid.cell_shape
    if rows * columns > _MAX_CELLS:
        raise SceneError(
            f"stride {grid.stride} with tiles of {grid.tile} px makes {rows * columns} cells of "
            f"{grid.cell} px of a scene of {grid.height} x {grid.width} px; allowed are "
            f"{_MAX_CELLS}: choose a stride with a larger common divisor with the tile size, such "
            "as half of it"
        )
    pixels = (_UNITS * grid.span(unit_rows) + _WAITING_ROWS) * grid.width
    open_cells = 2 * grid.cells_per_tile * columns * (classes + 1) * _DOUBLE_BYTES
    require_memory(
        pixels + open_cells + rows * columns * _CELL_BYTES,
        f"a scene of {grid.height} x {grid.width} pixels and {classes} classes",
        "cut it into parts with gdal_translate -srcwin, or take a larger stride",
    )
