"""STAC items as scenes: which of their assets hold the bands that a model wants."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac
from pystac.utils import make_absolute_href

from rsmeta.band_names import find_bands
from rsmeta.errors import SceneError
from rsmeta.scenes.source import RasterPart, SceneSource, file_name

_NO_DATA_ROLES = frozenset({"thumbnail", "overview", "visual", "metadata"})


@dataclass(frozen=True)
class StacScene(SceneSource):
    """A STAC item.

    Attributes:
        file: The JSON file, to whose folder relative links of assets belong.
        item: The item as JSON.
        assets: Key of the asset for bands that the item names otherwise.
    """

    file: str
    item: Mapping[str, Any]
    assets: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The item's id."""
        return file_name(str(self.item["id"]))

    @property
    def origin(self) -> str:
        """The file, and the item in it."""
        return f"{self.file}, item {self.item['id']}"

    @property
    def taken(self) -> datetime | None:
        """The item's time, or the start of its interval."""
        item = pystac.Item.from_dict(dict(self.item))
        return item.datetime or item.common_metadata.start_datetime

    def parts(self, wanted: Sequence[str]) -> tuple[RasterPart, ...]:
        """One asset for each wanted band; see `SceneSource.parts`."""
        item = pystac.Item.from_dict(dict(self.item))
        chosen: dict[str, RasterPart] = {}
        for band in wanted:
            key = self._asset(item, band)
            asset = item.assets[key]
            href = make_absolute_href(asset.href, self.file, start_is_dir=False)
            names = _names_with(band, key, asset) or ()
            chosen.setdefault(key, RasterPart(href, names if len(names) > 1 else (band,)))
        return tuple(chosen.values())

    def _asset(self, item: pystac.Item, band: str) -> str:
        """Key of the asset that holds a band: its own if it has one, else one of several bands."""
        if band in self.assets:
            if self.assets[band] not in item.assets:
                raise self._lacks(item, f"asset '{self.assets[band]}'")
            return self.assets[band]
        ranks = {
            key: _rank(key, asset, band)
            for key, asset in item.assets.items()
            if not _NO_DATA_ROLES & set(asset.roles or ()) and _names_with(band, key, asset)
        }
        if not ranks:
            raise self._lacks(item, f"an asset with band '{band}'")
        best = [key for key, rank in ranks.items() if rank == min(ranks.values())]
        if len(best) > 1:
            raise SceneError(
                f"scene '{self.origin}' has band '{band}' in several assets: {', '.join(best)}; "
                f"choose one with --bands {band}={best[0]}"
            )
        return best[0]

    def _lacks(self, item: pystac.Item, what: str) -> SceneError:
        return SceneError(
            f"scene '{self.origin}' lacks {what}; it has: {', '.join(item.assets) or 'none'}: name "
            "the asset of each band with --bands BAND=ASSET,..."
        )


def _names_with(band: str, key: str, asset: pystac.Asset) -> tuple[str, ...] | None:
    """Names of an asset's bands, in file order, of the first kind that has the band."""
    bands = _described_bands(asset)
    kinds = [
        tuple(str(described.get(kind, "")) for described in bands)
        for kind in ("name", "eo:common_name", "common_name")
    ]
    kinds.append(tuple(map(str, asset.extra_fields.get("sar:polarizations") or ())))
    if len(bands) <= 1:
        kinds.append((key,))
    return next((names for names in kinds if find_bands(names, [band])), None)


def _described_bands(asset: pystac.Asset) -> list[Mapping[str, Any]]:
    fields = asset.extra_fields
    return list(fields.get("bands") or fields.get("eo:bands") or ())


def _rank(key: str, asset: pystac.Asset, band: str) -> tuple[bool, int, bool]:
    """Smaller is better: named as the band, fewer bands, GeoTIFF before other formats."""
    bands = len(_described_bands(asset))
    return key.casefold() != band.casefold(), bands, "tiff" not in (asset.media_type or "")


def read_stac_items(
    path: Path, bands: tuple[str, ...] | Mapping[str, str] | None
) -> Iterator[StacScene]:
    """Read the items of a JSON file.

    Args:
        path: A STAC item or item collection.
        bands: Assets for bands; names in file order do not go with items.

    Raises:
        SceneError: The file is missing, is no STAC, or holds no item.
    """
    if isinstance(bands, tuple):
        raise SceneError(
            f"scene '{path}' is a STAC item, whose bands have names; allowed: no --bands, or an "
            "asset for each band: --bands B02=blue,B03=green"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SceneError(f"'{path}' cannot be read as JSON: {cause}; give a STAC item") from cause
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in ("Feature", "FeatureCollection"):
        raise SceneError(
            f"'{path}' is of type {kind}; allowed: a STAC item (Feature) or item collection "
            "(FeatureCollection)"
        )
    items = [content] if kind == "Feature" else content.get("features") or []
    if not items:
        raise SceneError(f"STAC item collection '{path}' holds no item; search again")
    for item in items:
        try:
            pystac.Item.from_dict(item)
        except (
            pystac.STACError,
            pystac.STACTypeError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as cause:
            raise SceneError(f"'{path}' holds what is no STAC item: {cause}; mend it") from cause
        yield StacScene(str(path), item, bands or {})
