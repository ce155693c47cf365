"""What the products say about the model that made them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelDescription:
    """The model that classified a scene.

    Attributes:
        run: Name of its run.
        architecture: Name of its backbone.
        method: How the backbone was adapted.
        backbone_sha256: Digest of the backbone's weights.
        temperature: Temperature of its confidences.
        versions: Versions of what it was trained with.
    """

    run: str
    architecture: str
    method: str
    backbone_sha256: str
    temperature: float
    versions: Mapping[str, str] = field(default_factory=dict)
