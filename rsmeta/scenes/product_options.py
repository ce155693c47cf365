"""Which products prediction writes, and how."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rsmeta.errors import SceneError
from rsmeta.prediction_options import ConfidenceType


class Product(StrEnum):
    """A file that prediction can write for a scene."""

    CLASSES = "classes"
    CONFIDENCE = "confidence"
    PROBABILITIES = "probabilities"
    GPKG = "gpkg"
    PARQUET = "parquet"
    GEOJSON = "geojson"
    SUMMARY = "summary"
    QUICKLOOK = "quicklook"
    REPORT = "report"
    WEBMAP = "webmap"
    ITEM = "item"

    def file_name(self, scene: str) -> str:
        """Name of the file for a scene of a name."""
        return f"{scene}_{_ENDINGS[self]}"


_ENDINGS = {
    Product.CLASSES: "classes.tif",
    Product.CONFIDENCE: "confidence.tif",
    Product.PROBABILITIES: "probabilities.tif",
    Product.GPKG: "polygons.gpkg",
    Product.PARQUET: "polygons.parquet",
    Product.GEOJSON: "polygons.geojson",
    Product.SUMMARY: "summary.json",
    Product.QUICKLOOK: "quicklook.png",
    Product.REPORT: "report.html",
    Product.WEBMAP: "webmap.html",
    Product.ITEM: "item.json",
}

DEFAULT_PRODUCTS = frozenset(
    {Product.CLASSES, Product.CONFIDENCE, Product.GPKG, Product.SUMMARY, Product.ITEM}
)
"""What needs no second look at the scene and little disk."""

POLYGONS = frozenset({Product.GPKG, Product.PARQUET, Product.GEOJSON})
PICTURES = frozenset({Product.QUICKLOOK, Product.REPORT, Product.WEBMAP})


@dataclass(frozen=True)
class ProductOptions:
    """Which products to write, and how.

    Attributes:
        products: The products.
        confidence: Values of the confidence map: `float` for float32 in 0..1, or `byte` for uint8
            in 0..254 with the scale 1/254.
        minimum_confidence: In (0, 1]; less confident cells become the class `unknown`. None to
            give each cell its most probable class.
        minimum_area: In square metres; smaller regions are merged into their largest neighbour
            in the polygons, not in the maps. 0 to keep all.
    """

    products: frozenset[Product] = DEFAULT_PRODUCTS
    confidence: ConfidenceType = "float"
    minimum_confidence: float | None = None
    minimum_area: float = 0.0

    def __post_init__(self) -> None:
        if not self.products:
            raise SceneError(f"no product is asked for; allowed: {_listed()}")
        if self.confidence not in ("float", "byte"):
            raise SceneError(f"confidence '{self.confidence}' is unknown; allowed: float, byte")
        if self.confidence == "byte" and Product.CONFIDENCE not in self.products:
            raise SceneError(
                "confidence 'byte' is about the product 'confidence', which is not asked for; add "
                "it to --products, or leave --confidence out"
            )
        least = self.minimum_confidence
        if least is not None and not 0 < least <= 1:
            raise SceneError(f"least confidence {least} is not allowed; allowed: above 0, up to 1")
        if not 0 <= self.minimum_area < math.inf:
            raise SceneError(
                f"minimum area {self.minimum_area} is not allowed; allowed: 0 or more square metres"
            )
        if self.minimum_area > 0 and not self.products & POLYGONS:
            raise SceneError(
                "a minimum area is about polygons, which are not asked for; add gpkg, parquet "
                "or geojson to --products, or leave --minimum-area out"
            )

    def settings(self) -> dict[str, Any]:
        """The options as plain values in a fixed order."""
        return {
            "products": [product.value for product in Product if product in self.products],
            "confidence": self.confidence,
            "minimum_confidence": self.minimum_confidence,
            "minimum_area": self.minimum_area,
        }


def parse_products(text: str) -> frozenset[Product]:
    """Read product names from a list with commas; `all` stands for all of them.

    Raises:
        SceneError: A name is unknown, or there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return frozenset(Product)
    unknown = [name for name in names if name not in set(Product)]
    if unknown or not names:
        named = f"'{unknown[0]}'" if unknown else "no product"
        raise SceneError(f"--products names {named}; allowed: all, or some of {_listed()}")
    return frozenset(Product(name) for name in names)


def _listed() -> str:
    return ", ".join(product.value for product in Product)
