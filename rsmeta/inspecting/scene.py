"""What a scene is, and whether a run fits it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from rsmeta.errors import SceneError
from rsmeta.model_card import ModelCard
from rsmeta.pixel_size import PixelSize
from rsmeta.prediction_options import ComplexPart
from rsmeta.runs import read_card
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import Layer, OpenScene, ReadOptions, open_scene
from rsmeta.scenes.reader import match_bands
from rsmeta.scenes.source import RasterSource, SceneSource

_ANY_COMPLEX: ComplexPart = "amplitude"


@dataclass(frozen=True)
class SceneBand:
    """One band of a scene.

    Attributes:
        name: Its name; empty where it has none.
        dtype: Type of its values as stored.
        nodata: Value that stands for no data; None where there is none.
        scale: What stored values are multiplied by.
        offset: What is then added.
    """

    name: str
    dtype: str
    nodata: float | None
    scale: float
    offset: float


@dataclass(frozen=True)
class InspectedScene:
    """A scene.

    Attributes:
        origin: Where it is.
        bands: Its data bands.
        alphas: Number of its alpha bands, which are masks.
        height: Rows.
        width: Columns.
        crs: Its CRS as a short name; None where it has none.
        pixel_size: Ground size of a pixel; None where it is not known.
        georeferenced_by: `transform`, `GCPs`, `RPCs` or `nothing`.
    """

    origin: str
    bands: tuple[SceneBand, ...]
    alphas: int
    height: int
    width: int
    crs: str | None
    pixel_size: PixelSize | None
    georeferenced_by: str

    def values(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        bands = [vars(band) | {"nodata": _plain(band.nodata)} for band in self.bands]
        size = None if self.pixel_size is None else list(self.pixel_size)
        return {"kind": "scene"} | vars(self) | {"bands": bands, "pixel_size": size}


@dataclass(frozen=True)
class Fit:
    """Whether a run can classify a scene.

    Attributes:
        problem: Why it cannot, in one line; None where it can.
        cautions: What is allowed and may still make a bad map.
        tiles: Tiles that the scene has at the usual stride; 0 where the run does not fit.
        bands: For each band of the run the band of the scene that is taken for it.
    """

    problem: str | None
    cautions: tuple[str, ...] = ()
    tiles: int = 0
    bands: tuple[tuple[str, str], ...] = ()

    def values(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return {"fits": self.problem is None} | vars(self)


def inspect_scene(source: SceneSource | str, run: Path | None = None) -> InspectedScene:
    """Look at a scene.

    Args:
        source: The scene.
        run: Run whose bands to look for, where each band is a file of its own.

    Raises:
        SceneError: The scene cannot be read, or only names of bands would tell what its files are.
        RunError: The model of the run cannot be read.
    """
    source = source if isinstance(source, SceneSource) else RasterSource(source)
    wanted = () if run is None else read_card(run).bands
    if not source.parts(wanted):
        raise SceneError(f"files of scene '{source.origin}' go by names of bands; add --run")
    with open_scene(source, wanted, ReadOptions(complex_part=_ANY_COMPLEX)) as scene:
        place = scene.georeference
        crs = place.crs or place.gcp_crs
        return InspectedScene(
            origin=scene.name,
            bands=tuple(_bands(scene.layers)),
            alphas=scene.alphas,
            height=scene.height,
            width=scene.width,
            crs=None if crs is None else crs.to_string(),
            pixel_size=scene.pixel_size,
            georeferenced_by=_georeferenced_by(scene.layers[0].dataset),
        )


def fit_of(run: Path, source: SceneSource | str) -> Fit:
    """Check whether the model of a run can classify a scene, without loading it.

    Args:
        run: Run folder.
        source: The scene.

    Raises:
        RunError: The model of the run cannot be read.
    """
    card = read_card(run)
    source = source if isinstance(source, SceneSource) else RasterSource(source)
    options = ReadOptions(pixel_size=card.pixel_size)
    try:
        with open_scene(source, card.bands, options) as scene:
            indexes = match_bands(scene, card.bands)
            layers = [scene.layers[index - 1] for index in indexes if index is not None]
            grid = TileGrid.over(scene.height, scene.width, card.tile_size)
            return Fit(
                problem=None,
                cautions=tuple(_cautions(scene, card, options, layers)),
                tiles=grid.rows * grid.columns,
                bands=tuple(
                    (band, layer.name or f"band {layer.index}")
                    for band, layer in zip(card.bands, layers, strict=True)
                ),
            )
    except SceneError as error:
        return Fit(problem=str(error))


def _cautions(
    scene: OpenScene, card: ModelCard, options: ReadOptions, layers: Sequence[Layer]
) -> list[str]:
    found = []
    if options.unfit(scene.pixel_size):
        found.append(
            f"pixels of {scene.pixel_size}, the run was trained on {card.pixel_size:.3g} m; "
            "predict with --match-resolution"
        )
    if not any(layer.name for layer in layers):
        found.append("bands without names are taken in file order or by colour; see --bands")
    if min(scene.shape) < card.tile_size:
        found.append(f"smaller than a tile of {card.tile_size} pixels; it is continued mirrored")
    return found


def _bands(layers: Sequence[Layer]) -> Iterator[SceneBand]:
    for _, group in groupby(layers, key=lambda layer: id(layer.dataset)):
        same = list(group)
        dataset = same[0].dataset
        # Each asks GDAL about all bands.
        dtypes, nodatas = dataset.dtypes, dataset.nodatavals
        scales, offsets = dataset.scales, dataset.offsets
        for layer in same:
            place = layer.index - 1
            yield SceneBand(
                layer.name, dtypes[place], nodatas[place], scales[place], offsets[place]
            )


def _georeferenced_by(dataset: DatasetReader) -> str:
    if not dataset.transform.is_identity:
        return "transform"
    if dataset.gcps[0]:
        return "GCPs"
    return "nothing" if dataset.rpcs is None else "RPCs"


def _plain(nodata: float | None) -> float | str | None:
    """What JSON does not have, NaN and infinity, as text."""
    return nodata if nodata is None or math.isfinite(nodata) else str(nodata)
