"""Chips that are windows of scenes, and their place on the ground."""

from collections.abc import Sequence
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from rsmeta.data.chip_windows import squares
from rsmeta.data.chips import ChipSet
from rsmeta.data.scene_rasters import EQUAL_AREA, SceneRaster, in_metres


class ChipWindow(NamedTuple):
    """A square of a scene: number of the scene, upper left pixel and side in pixels."""

    scene: int
    column: int
    row: int
    size: int


class SceneChips(ChipSet):
    """Chips that are windows of scenes.

    Args:
        scenes: The scenes.
        windows: One a chip.
        labels: (chips,), int64.
    """

    def __init__(
        self,
        scenes: Sequence[SceneRaster],
        windows: Sequence[ChipWindow],
        labels: NDArray[np.int64],
    ) -> None:
        self._scenes = tuple(scenes)
        self.windows = tuple(windows)
        self.labels = labels

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        number, *square = self.windows[index]
        with self._scenes[number].open() as scene:
            return scene.read(*square)

    def describe(self, index: int) -> str:
        """The chip's scene and place in it."""
        number, column, row, size = self.windows[index]
        name = self._scenes[number].files[0][0]
        return f"{name}: {size} × {size} pixels from column {column}, row {row}"

    def pixel_size(self, index: int) -> float:
        """Side of the chip's pixels on the ground in metres."""
        return self._scenes[self.windows[index].scene].grid.pixel_metres

    def footprints(self) -> gpd.GeoSeries:
        """The squares of the chips on the ground; see `ChipSet.footprints`."""
        return footprints(self._scenes, self.windows)


def footprints(
    scenes: Sequence[SceneRaster], windows: Sequence[ChipWindow], margin: float = 0.0
) -> gpd.GeoSeries:
    """Squares on the ground, in the CRS of the scenes or, where they differ, in EPSG:4326.

    Args:
        scenes: The scenes.
        windows: Windows of them, one at least.
        margin: Pixels by which each side of a square is moved inwards.

    Returns:
        Polygons in the order of the windows.
    """
    table = _table(windows)
    parts = _placed(scenes, table[:, 0], squares(table[:, 1:3], table[:, 3:], margin))
    if len({part.crs.to_wkt() for part in parts}) > 1:
        parts = [part.to_crs("EPSG:4326") for part in parts]
    return pd.concat(parts).sort_index()


def blocks_of(
    scenes: Sequence[SceneRaster], windows: Sequence[ChipWindow], side: float
) -> NDArray[np.int64]:
    """Number of the square block that the middle of each window lies in, (windows,).

    Blocks are counted from the origin of the scenes' CRS, or of `EQUAL_AREA` where the scenes have
    several or one in degrees: what lies at the same place is in the same block.

    Args:
        scenes: The scenes.
        windows: Windows of them, one at least.
        side: Side of a block in metres.
    """
    table = _table(windows)
    parts = _placed(scenes, table[:, 0], shapely.points(table[:, 1:3] + table[:, 3:] / 2))
    if len({part.crs.to_wkt() for part in parts}) > 1:
        parts = [part.to_crs(EQUAL_AREA) for part in parts]
    middles = in_metres(pd.concat(parts).sort_index())
    places = np.floor(np.stack([middles.x, middles.y], axis=1) / side)
    blocks: NDArray[np.int64] = np.unique(places, axis=0, return_inverse=True)[1].reshape(-1)
    return blocks


def _table(windows: Sequence[ChipWindow]) -> NDArray[np.int64]:
    return np.array(windows, dtype=np.int64).reshape(-1, len(ChipWindow._fields))


def _placed(
    scenes: Sequence[SceneRaster], numbers: NDArray[np.int64], geometries: NDArray[np.object_]
) -> list[gpd.GeoSeries]:
    """Geometries in pixels of scenes on the ground, a part for each scene, in its CRS.

    Args:
        scenes: The scenes.
        numbers: (geometries,), scene of each geometry.
        geometries: (geometries,).

    Returns:
        Parts whose index is the number of the geometry.
    """
    parts = []
    for number in np.unique(numbers):
        members = np.flatnonzero(numbers == number)
        placed = scenes[number].grid.place(geometries[members])
        placed.index = members
        parts.append(placed)
    return parts
