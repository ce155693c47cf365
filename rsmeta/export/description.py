"""What every exported folder says of its model."""

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import torch
from safetensors.torch import save_file

from rsmeta.model_card import current_versions
from rsmeta.runs import TrainedModel, write_json

FACTS, README = "rsmeta.json", "README.md"
HEAD = "head/head.safetensors"
"""In a folder of its own: of several weight files timm before 1.0.29 takes the first."""


def describe(model: TrainedModel) -> dict[str, Any]:
    """The facts about a model that its weights do not say, as values of JSON.

    Classes are in the order of the logits, bands in the order of the channels; the statistics,
    and the limits that values are clipped to before they are normalised, are in the units of the
    bands, the sizes in pixels.
    """
    card, recipe = model.card, model.recipe
    limits = card.statistics.limits
    return {
        "classes": list(card.classes),
        "bands": list(card.bands),
        "units": [band.unit.value for band in recipe.data.selected_bands],
        "statistics": {"mean": list(card.statistics.mean), "std": list(card.statistics.std)},
        "limits": None if limits is None else {"low": list(limits.low), "high": list(limits.high)},
        "head_scale": recipe.head.scale,
        "image_size": recipe.backbone.image_size,
        "tile_size": card.tile_size,
        "method": recipe.peft.method,
        "backbone": card.backbone,
        "backbone_sha256": card.backbone_sha256,
        "trained_with": card.versions,
        "exported_with": current_versions(),
    }


def write_description(model: TrainedModel, folder: Path, template: str, **values: str) -> None:
    """Write head, facts and a README whose Python maps images to logits.

    Args:
        model: The model.
        folder: Where to write.
        template: Name of the README's template among the assets.
        values: What goes into the template beside the facts.
    """
    facts = describe(model)
    head = model.classifier.head
    shift = torch.zeros(len(head.weight)) if head.shift is None else head.shift
    tensors = {"weight": head.weight, "shift": shift}
    (folder / HEAD).parent.mkdir()
    save_file({name: t.detach().contiguous() for name, t in tensors.items()}, folder / HEAD)
    write_json(folder / FACTS, facts)
    text = (files("rsmeta.assets") / template).read_text(encoding="utf-8")
    words = {name: ", ".join(facts[name]) for name in ("classes", "bands")}
    words |= {name: str(facts[name]) for name in ("image_size", "method", "backbone")}
    filled = Template(text).substitute(words | {"name": model.recipe.name} | values)
    (folder / README).write_text(filled, encoding="utf-8")
