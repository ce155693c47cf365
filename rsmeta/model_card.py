"""What is stored beside the weights of a trained model."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

from rsmeta import __version__
from rsmeta.card_values import check_card
from rsmeta.data.statistics import BandStatistics, Limits
from rsmeta.peft.sites import AnySite, named_site


@dataclass(frozen=True)
class ModelCard:
    """What the weights alone do not say; stored in the metadata of `model.safetensors`.

    Attributes:
        classes: Class names in the order of the logits.
        bands: Band names in the order of the chips.
        statistics: Normalisation of the bands.
        tile_size: Side in pixels of the chips the model was trained on.
        backbone: Name of the backbone.
        backbone_sha256: Digest of the backbone's weights.
        sites: Where the adapters with a modulator sit: those of the recipe that were not pruned.
        versions: Versions of rsmeta and of what computes the numbers.
        pixel_size: Side of the training chips' pixels on the ground in metres; None where the
            chips do not tell, and in runs of older versions.
        temperature: Divides the logits before the softmax, see `rsmeta.train.calibration`; 1 in
            runs of older versions.
    """

    classes: tuple[str, ...]
    bands: tuple[str, ...]
    statistics: BandStatistics
    tile_size: int
    backbone: str
    backbone_sha256: str
    sites: tuple[AnySite, ...]
    versions: dict[str, str]
    pixel_size: float | None = None
    temperature: float = 1.0

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: The text is no model card.
        """
        values = {"pixel_size": None, "temperature": 1.0} | json.loads(text)
        check_card(values)
        known = {field.name: values[field.name] for field in fields(cls)}
        statistics = _statistics_from(known["statistics"])
        known |= {name: tuple(known[name]) for name in ("classes", "bands")}
        known["sites"] = tuple(named_site(**site) for site in known["sites"])
        return cls(**(known | {"statistics": statistics}))

    def to_json(self) -> str:
        """The card as JSON."""
        sites = [{"block": site.block, "position": str(site.position)} for site in self.sites]
        return json.dumps(asdict(self) | {"sites": sites}, ensure_ascii=False)


def _statistics_from(values: Mapping[str, Any]) -> BandStatistics:
    limits = values.get("limits")  # cards of earlier versions have none
    return BandStatistics(
        mean=tuple(values["mean"]),
        std=tuple(values["std"]),
        limits=None if limits is None else Limits(tuple(limits["low"]), tuple(limits["high"])),
    )


def current_versions() -> dict[str, str]:
    """Versions of Python, rsmeta, torch and timm."""
    return {
        "python": platform.python_version(),
        "rsmeta": __version__,
        "torch": version("torch"),
        "timm": version("timm"),
    }
