"""An adapter folder of Hugging Face peft."""

import json
from pathlib import Path
from typing import Any

from timm.models.vision_transformer import VisionTransformer

from rsmeta.errors import ExportError
from rsmeta.export.description import write_description
from rsmeta.export.timm_folder import write_vit
from rsmeta.models.backbones import build_backbone
from rsmeta.peft.lora import LoRALinear
from rsmeta.recipe import Lora
from rsmeta.runs import TrainedModel, write_json

_BACKBONE = "backbone"
_CONFIG = "adapter_config.json"


def write_peft(model: TrainedModel, folder: Path) -> None:
    """Write the adapter, the head, the facts and a README with their use.

    The updates of q, k and v are one update of the fused layer, of the sum of their ranks, whose B
    is block-diagonal. Gamma and scale are in B, and peft's own factor is 1. The patch embedding,
    mixed for the bands, goes along as a module to save. A backbone that timm cannot download by its
    name is written too, to `backbone`.

    Args:
        model: The model, not merged.
        folder: Where to write.

    Raises:
        ExportError: The method is not LoRA, or pruning left no update.
    """
    config = model.recipe.peft
    if not isinstance(config, Lora):
        raise ExportError(
            f"method '{config.method}' is no adapter of Hugging Face peft, lora is; "
            "use --to timm or --to onnx"
        )
    named = model.classifier.backbone.named_modules()
    layers = {name: layer for name, layer in named if isinstance(layer, LoRALinear)}
    if not layers:
        raise ExportError("the run has no LoRA updates left; use --to timm or --to onnx")
    source = model.recipe.backbone
    bands = model.recipe.data.selected_bands
    frozen = build_backbone(source.name, source.file, source.image_size, bands).model
    # As trained, where bands have updates.
    kernel = model.classifier.backbone.patch_embed.proj.weight
    frozen.patch_embed.proj.weight.data = kernel.detach().clone()
    if source.name.startswith("timm:") and source.file is None:
        settings = f"num_classes=0, img_size={source.image_size}, in_chans={len(bands)}"
        vit = f'"{source.name.removeprefix("timm:")}", pretrained=True, {settings}'
    else:
        (folder / _BACKBONE).mkdir()
        write_vit(model, frozen, folder / _BACKBONE)
        vit = f'"local-dir:{_BACKBONE}", pretrained=True'
    _write_adapter(frozen, layers, config.rank, folder)
    write_description(model, folder, "export_peft.md", vit=vit)


def _write_adapter(
    frozen: VisionTransformer, layers: dict[str, LoRALinear], rank: int, folder: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    other = {name: len(layer.down) for name, layer in layers.items() if len(layer.down) != rank}
    settings = LoraConfig(
        r=rank,
        lora_alpha=rank,
        rank_pattern=other,
        alpha_pattern=other,
        target_modules=list(layers),
        modules_to_save=["patch_embed.proj"],
    )
    adapted = get_peft_model(frozen, settings)
    for name, layer in layers.items():
        target = frozen.get_submodule(name)
        target.lora_A["default"].weight.data = layer.down.detach()
        target.lora_B["default"].weight.data = layer.fused_up().detach()
    # No embeddings of words here, which peft would look for on the hub.
    adapted.save_pretrained(folder, save_embedding_layers=False)
    # peft shortens the names, to others in every process.
    written: dict[str, Any] = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    write_json(folder / _CONFIG, written | {"target_modules": list(layers)})
