"""Whole classifiers on tiny ViTs."""

import torch
from tiny_vits import vit

from rsmeta.data.statistics import BandStatistics
from rsmeta.models.classifier import ChipClassifier
from rsmeta.models.heads import CosineHead
from rsmeta.peft.methods import adapt

STATISTICS = BandStatistics(mean=(0.0,) * 3, std=(1.0,) * 3)


def tiny_classifier(config, dtype=torch.float64, kept=None, **settings):
    """A classifier of three bands and four classes; its head is float32 as always."""
    model = vit(**settings)
    bank = adapt(config, model, kept)
    head = CosineHead(model.num_features, 4, 30.0)
    classifier = ChipClassifier(model, bank, head, STATISTICS, "float32").to(dtype)
    classifier.head.float()
    return classifier
