"""Whole models that classify scenes, as `load_run` gives them, of timm's smallest ViT."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tiny_vits import randomise

from rsmeta.data.statistics import BandStatistics
from rsmeta.model_card import ModelCard
from rsmeta.models.classifier import build_classifier
from rsmeta.peft.merging import merge
from rsmeta.recipe import Recipe
from rsmeta.runs import TrainedModel

SENSORS = {"optical": 3, "multispectral": 12, "sar": 2}


@dataclass(frozen=True)
class TinyModel:
    """Loads a model, in this process or another.

    Attributes:
        weights: File of the ViT's weights.
        sensor: Of `SimulatorData`.
        merged: Whether LoRA is folded into the weights.
        size: Side of a tile in pixels, which is resized to 32.
    """

    weights: Path
    sensor: str = "sar"
    merged: bool = True
    size: int = 16

    def __call__(self):
        recipe = Recipe.model_validate(
            {
                "name": "tiny",
                "data": {"source": "simulator", "sensor": self.sensor, "crop": self.size},
                "backbone": {
                    "name": "timm:test_vit",
                    "file": self.weights,
                    "image_size": 32,
                },
                "peft": {"method": "lora", "rank": 2},
            }
        )
        bands = recipe.data.selected_bands
        statistics = BandStatistics((0.25,) * len(bands), (1.5,) * len(bands))
        classes = tuple("abcde")
        torch.manual_seed(0)
        built = build_classifier(recipe, bands, len(classes), statistics)
        randomise(built.classifier)
        if self.merged:
            merge(built.classifier.backbone)
        built.classifier.store_frozen_low()
        card = ModelCard(
            classes=classes,
            bands=tuple(band.name for band in bands),
            statistics=statistics,
            tile_size=self.size,
            backbone=recipe.backbone.name,
            backbone_sha256=built.backbone_sha256,
            sites=(),
            versions={},
        )
        return TrainedModel(built.classifier, card, recipe)
