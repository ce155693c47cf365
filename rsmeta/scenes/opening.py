"""Opening a scene: its rasters as bands on one grid, read in physical units."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsmeta.errors import SceneError
from rsmeta.pixel_size import PixelSize, pixel_size
from rsmeta.prediction_options import ComplexPart, MissingBands
from rsmeta.rasters import (
    data_indexes,
    open_raster,
    read_masked,
    reading,
    refuse_palette,
    sample_bytes,
)
from rsmeta.scenes.products import Georeference
from rsmeta.scenes.resampling import Grid, check_place, on_grid
from rsmeta.scenes.source import RasterPart, SceneSource

_TOLERANCE = 0.1
_LONGEST_SIDE = 2**31 - 1  # that GDAL can count to


@dataclass(frozen=True)
class ReadOptions:
    """How scenes are read.

    Attributes:
        complex_part: What complex values are read as; None refuses them.
        pixel_size: Side in metres of the pixels that the model was trained on; None where that
            is not known.
        match_resolution: Whether scenes whose pixels are more than 10 % off are resampled.
        missing_bands: `error` to refuse a scene that lacks bands of the model; `zero` to take the
            training mean for them, which normalisation makes zero.
    """

    complex_part: ComplexPart | None = None
    pixel_size: float | None = None
    match_resolution: bool = False
    missing_bands: MissingBands = "error"

    def __post_init__(self) -> None:
        if self.match_resolution and self.pixel_size is None:
            raise SceneError(
                "the run does not know the pixel size of its training chips, so that "
                "--match-resolution has nothing to match; resample the scene before, or train on "
                "georeferenced chips"
            )

    def unfit(self, size: PixelSize | None) -> bool:
        """Whether pixels are known to be more than 10 % off those of the model."""
        if size is None or self.pixel_size is None:
            return False
        return any(abs(side / self.pixel_size - 1) > _TOLERANCE for side in size)


@dataclass(frozen=True)
class Layer:
    """One data band of a scene.

    Attributes:
        dataset: The open raster that it is read from.
        path: Where that is.
        index: Its number in the raster, from 1.
        name: Its name; empty where it has none.
        colour: `red`, `green` or `blue` where the raster says so, else None.
    """

    dataset: DatasetReader
    path: str
    index: int
    name: str
    colour: str | None


@dataclass(frozen=True)
class OpenScene:
    """A scene of which parts can be read.

    Attributes:
        name: Where it is, for messages.
        grid: Its pixels and where they lie.
        pixel_size: Ground size of the pixels of its finest raster; None where it is not known.
        layers: Its data bands; alpha bands are masks.
        alphas: Number of its alpha bands.
        complex_part: What complex values are read as.
    """

    name: str
    grid: Grid
    pixel_size: PixelSize | None
    layers: tuple[Layer, ...]
    alphas: int
    complex_part: ComplexPart

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.shape

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.grid.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.grid.shape[1]

    @property
    def georeference(self) -> Georeference:
        """Where it lies."""
        return self.grid.georeference

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of pixels, of all its rasters."""
        return sum(dataset.width * sum(sample_bytes(dataset)) for dataset in self._datasets)

    @property
    def block_height(self) -> int:
        """Rows of the highest blocks of its rasters."""
        return max(int(d.block_shapes[0][0]) for d in self._datasets)

    @property
    def striped(self) -> bool:
        """Whether blocks of a raster are as wide as it is."""
        return any(d.block_shapes[0][1] >= d.width for d in self._datasets)

    @property
    def _datasets(self) -> list[DatasetReader]:
        return list({id(layer.dataset): layer.dataset for layer in self.layers}.values())

    def read(
        self, window: Window, indexes: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read bands in physical units, with the pixels that count in all of them.

        Args:
            window: Part to read, in pixels, inside the scene.
            indexes: Bands, from 1, by their place in `layers`.

        Returns:
            Values (bands, height, width), NaN where not valid, and valid (height, width); see
            `rsmeta.rasters.read_masked`.

        Raises:
            SceneError: A raster cannot be read.
        """
        pieces, masks = [], []
        layers = [self.layers[index - 1] for index in indexes]
        for _, group in groupby(layers, key=lambda layer: id(layer.dataset)):
            run = list(group)
            with reading(run[0].path):
                values, valid = read_masked(
                    run[0].dataset, window, [layer.index for layer in run], self.complex_part
                )
            pieces.append(values)
            masks.append(valid)
        if len(pieces) == 1:
            return pieces[0], masks[0]
        values, valid = np.concatenate(pieces), np.logical_and.reduce(masks)
        values[:, ~valid] = np.nan
        return values, valid


@contextmanager
def open_scene(
    source: SceneSource, wanted: Sequence[str], options: ReadOptions | None = None
) -> Iterator[OpenScene]:
    """Open a scene for reading.

    Bands of differing resolution are read on the grid of the finest.

    Args:
        source: The scene.
        wanted: Band names of the classifier, to find the rasters that hold them.
        options: How to read it; None for the defaults.

    Yields:
        The open scene.

    Raises:
        SceneError: A raster cannot be opened, or the rasters do not lie on one another.
    """
    options = options or ReadOptions()
    parts = _parts(source, wanted, options.missing_bands)
    with ExitStack() as stack:
        datasets = []
        for part in parts:
            dataset = stack.enter_context(open_raster(part.path, complex_part=options.complex_part))
            refuse_palette(dataset)
            _refuse_degenerate(dataset, part.path)
            datasets.append(dataset)
        finest = max(datasets, key=lambda dataset: dataset.width * dataset.height)
        size, own = pixel_size(finest), Grid.of(finest)
        grid = _target_grid(source, own, size, options)
        layers: list[Layer] = []
        for part, dataset in zip(parts, datasets, strict=True):
            check_place(Grid.of(dataset), part.path, own)
            _check_values(part, dataset, grid, options)
            layers.extend(_layers(part, stack.enter_context(on_grid(dataset, grid))))
        alphas = sum(d.count - len(data_indexes(d)) for d in datasets)
        yield OpenScene(
            source.origin, grid, size, tuple(layers), alphas, options.complex_part or "amplitude"
        )


def _refuse_degenerate(dataset: DatasetReader, path: str) -> None:
    """Refuse a transform by which pixels have no area, or are lost in the digits of an origin."""
    t = dataset.transform
    right, down = ((t.a + t.c) - t.c, (t.d + t.f) - t.f), ((t.b + t.c) - t.c, (t.e + t.f) - t.f)
    area = right[0] * down[1] - right[1] * down[0]
    if not np.isfinite(area) or area == 0 or t.determinant == 0:
        raise SceneError(
            f"raster '{path}' has a geotransform {tuple(t)[:6]} that gives its "
            "pixels no area; mend it with gdal_edit.py -a_ullr, or remove it with -unsetgt"
        )


def _parts(
    source: SceneSource, wanted: Sequence[str], missing: MissingBands
) -> tuple[RasterPart, ...]:
    """The rasters of the wanted bands, or of those of them that the source has."""
    if missing == "error":
        return source.parts(wanted)
    present = [band for band in wanted if _has(source, band)]
    return source.parts(present or wanted)


def _has(source: SceneSource, band: str) -> bool:
    try:
        source.parts([band])
    except SceneError:
        return False
    return True


def _target_grid(
    source: SceneSource, own: Grid, size: PixelSize | None, options: ReadOptions
) -> Grid:
    target = options.pixel_size if options.match_resolution else None
    if target is None:
        return own
    if size is None:
        raise SceneError(
            f"scene '{source.origin}' does not tell its pixel size, so that --match-resolution "
            "cannot resample it; leave that out or georeference the scene"
        )
    if not options.unfit(size):
        return own
    grid = own.resampled(target / size.x, target / size.y)
    if max(grid.shape) > _LONGEST_SIDE:
        raise SceneError(
            f"scene '{source.origin}' has pixels of {size}, at {target:.3g} m it would have "
            f"{grid.shape[0]} x {grid.shape[1]}; allowed are {_LONGEST_SIDE} a side: check its "
            "georeferencing"
        )
    return grid


def _check_values(
    part: RasterPart, dataset: DatasetReader, grid: Grid, options: ReadOptions
) -> None:
    if options.complex_part is not None and not Grid.of(dataset).coincides(grid):
        kinds = [kind for kind in dataset.dtypes if "complex" in kind]
        if kinds:
            raise SceneError(
                f"raster '{part.path}' has complex bands, which cannot be resampled; convert it "
                f"to {options.complex_part} first"
            )
    if part.bands is not None and len(part.bands) != len(data_indexes(dataset)):
        raise SceneError(
            f"raster '{part.path}' has {len(data_indexes(dataset))} data band(s); "
            f"{len(part.bands)} are named for it [{', '.join(part.bands)}]: name each band once, "
            "in file order"
        )


def _layers(part: RasterPart, dataset: DatasetReader) -> list[Layer]:
    indexes = data_indexes(dataset)
    # Each asks GDAL about all bands.
    texts, colours = dataset.descriptions, dataset.colorinterp
    # One line each, whatever the file says.
    names = part.bands or [" ".join((texts[index - 1] or "").split()) for index in indexes]
    kinds = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
    return [
        Layer(dataset, part.path, index, name, kinds.get(colours[index - 1]))
        for index, name in zip(indexes, names, strict=True)
    ]
