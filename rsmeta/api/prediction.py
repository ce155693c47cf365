"""The products of a scene, opened for notebooks: maps as xarray, polygons as geopandas."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import geopandas
import rasterio
import rioxarray
import xarray

from rsmeta.api.card import Fold, card, share
from rsmeta.errors import SceneError
from rsmeta.scenes import Product, ScenePrediction
from rsmeta.scenes.legend import hex_colour
from rsmeta.scenes.polygons import LAYER

_TAGS = frozenset({"CLASS_NAMES", "RSMETA_PREDICTION"})


@dataclass(frozen=True)
class Prediction:
    """A classified scene.

    Maps are opened when they are first asked for, and read when their values are.

    Attributes:
        files: The products by their kind, such as `files["classes"]`.
        pixels: Valid pixels of each class.
    """

    files: Mapping[Product, Path]
    pixels: Mapping[str, int]

    @classmethod
    def of(cls, written: ScenePrediction) -> "Prediction":
        """Take what `rsmeta.scenes.predict_scene` wrote."""
        return cls(dict(written.files), dict(written.pixels))

    @cached_property
    def classes(self) -> xarray.DataArray:
        """Class of each pixel, (y, x), with CRS, transform and nodata in `.rio`.

        Its attributes are `class_names`, where a value is the place of its name, and
        `class_colours` (`#rrggbb`) in the same order.

        Raises:
            SceneError: The class map was not asked for.
        """
        path = self._file(Product.CLASSES)
        with rasterio.open(path) as dataset:
            names = json.loads(dataset.tags()["CLASS_NAMES"])
            colours = dataset.colormap(1)
        return _layer(path).assign_attrs(
            class_names=names,
            class_colours=[f"#{hex_colour(colours[value][:3])}" for value in range(len(names))],
        )

    @cached_property
    def confidence(self) -> xarray.DataArray:
        """Probability of the class, (y, x), in 0..1, NaN where there is none.

        Raises:
            SceneError: The confidence map was not asked for.
        """
        return _layer(self._file(Product.CONFIDENCE), scaled=True)

    @cached_property
    def probabilities(self) -> xarray.DataArray:
        """Probability of each class, (class, y, x), in 0..1, NaN where there is none.

        Raises:
            SceneError: The probabilities were not asked for.
        """
        opened = _opened(self._file(Product.PROBABILITIES), scaled=True)
        names = opened.attrs["long_name"]
        listed = [names] if isinstance(names, str) else list(names)
        return opened.rename(band="class").assign_coords({"class": listed})

    @cached_property
    def polygons(self) -> geopandas.GeoDataFrame:
        """Regions of equal class: `class_id`, `class`, `confidence`, `area_m2` and geometry.

        Raises:
            SceneError: Neither gpkg nor parquet nor geojson was asked for.
        """
        if Product.PARQUET in self.files:
            return geopandas.read_parquet(self.files[Product.PARQUET])
        if Product.GPKG in self.files:
            return geopandas.read_file(self.files[Product.GPKG], layer=LAYER)
        return geopandas.read_file(self._file(Product.GEOJSON))

    def _file(self, product: Product) -> Path:
        if product not in self.files:
            raise SceneError(f"the product '{product}' was not asked for; add it to the products")
        return self.files[product]

    def _repr_html_(self) -> str:
        total = sum(self.pixels.values())
        shares = {
            name: f"{share(count / total)} ({count:,} pixels)"
            for name, count in sorted(self.pixels.items(), key=lambda item: -item[1])
            if count
        }
        name = next(iter(self.files.values())).name
        files = {product.value: path for product, path in self.files.items()}
        return card("Prediction", name, {}, [Fold("classes", shares, True), Fold("files", files)])


def _layer(path: Path, *, scaled: bool = False) -> xarray.DataArray:
    """The only band of a raster, (y, x), without our tags, which are for machines."""
    layer = _opened(path, scaled=scaled)[0].drop_vars("band")
    layer.attrs = {key: value for key, value in layer.attrs.items() if key not in _TAGS}
    return layer


def _opened(path: Path, *, scaled: bool = False) -> xarray.DataArray:
    """A raster, (band, y, x), whose values are read when they are used."""
    opened = rioxarray.open_rasterio(path, mask_and_scale=scaled)
    assert isinstance(opened, xarray.DataArray)
    return opened
