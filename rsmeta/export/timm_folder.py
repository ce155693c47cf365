"""A folder in the layout of timm's models on the Hugging Face hub."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from rsmeta.errors import ExportError
from rsmeta.export.description import write_description
from rsmeta.models.weights import load_weights
from rsmeta.runs import TrainedModel, write_json

# timm's entry that sets nothing but what the embedded backbone sets too, patch size, width, depth
# and heads; all else is as in a `VisionTransformer` without arguments.
_PLAIN = "vit_tiny_patch16_224"


def write_timm(model: TrainedModel, folder: Path) -> None:
    """Write the ViT, its configuration, the head, the facts and a README with their use.

    Args:
        model: The model, merged.
        folder: Where to write.

    Raises:
        ExportError: The ViT has layers that timm's does not have.
    """
    write_vit(model, model.classifier.backbone, folder)
    write_description(model, folder, "export_timm.md")


def write_vit(model: TrainedModel, vit: VisionTransformer, folder: Path) -> None:
    """Write `model.safetensors` and `config.json`, which `timm.create_model` reads.

    Args:
        model: Says which architecture, bands and image size.
        vit: The ViT without a head, with plain layers.
        folder: Where to write.

    Raises:
        ExportError: The ViT has layers that timm's does not have.
    """
    architecture, arguments = _architecture(model)
    with torch.device("meta"):
        plain = timm.create_model(architecture, num_classes=0, **arguments)
    state = {name: tensor.contiguous() for name, tensor in vit.state_dict().items()}
    expected = {name: tensor.shape for name, tensor in plain.state_dict().items()}
    if {name: tensor.shape for name, tensor in state.items()} != expected:
        raise ExportError(
            f"method '{model.recipe.peft.method}' adds to '{model.card.backbone}' what a plain "
            "timm ViT does not have; use --to onnx"
        )
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", _configuration(model, architecture, arguments))


def _architecture(model: TrainedModel) -> tuple[str, dict[str, Any]]:
    """A name of timm's registry and the arguments that make the run's ViT of it."""
    config = model.recipe.backbone
    arguments = {"img_size": config.image_size, "in_chans": len(model.bands)}
    found = load_weights(config.name, config.file).architecture
    return (found, arguments) if isinstance(found, str) else (_PLAIN, arguments | found)


def _configuration(
    model: TrainedModel, architecture: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    size = model.recipe.backbone.image_size
    statistics = model.card.statistics
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": int(model.classifier.backbone.num_features),
        "model_args": arguments,
        "label_names": list(model.classes),
        "pretrained_cfg": {
            "input_size": [len(model.bands), size, size],
            "fixed_input_size": True,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": list(statistics.mean),
            "std": list(statistics.std),
            # No `first_conv`: timm before 1.0.31 would take its kernels for those of three bands
            # and adapt them a second time. Later versions know the layer of the architecture.
            "classifier": "head",
        },
    }
