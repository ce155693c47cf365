"""Runs whose model was never trained: all that `load_run` and `predict` read, in a second."""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rsmeta.data.statistics import BandStatistics
from rsmeta.model_card import ModelCard, current_versions
from rsmeta.models.classifier import build_classifier
from rsmeta.peft.sites import modulated_sites
from rsmeta.recipe import Recipe
from rsmeta.runs import MODEL, write_model, write_recipe


def write_untrained_run(folder, classes, **sections):
    """Write recipe and model of simulated SAR to a new folder; returns it."""
    values = {
        "name": "untrained",
        "data": {"source": "simulator"},
        "backbone": {"image_size": 16},
        "peft": {"rank": 2, "blocks": "last:1", "positions": ["q"]},
    }
    recipe = Recipe.model_validate(values | sections)
    bands = recipe.data.selected_bands
    statistics = BandStatistics((-10.0,) * len(bands), (5.0,) * len(bands))
    built = build_classifier(recipe, bands, len(classes), statistics)
    torch.nn.init.normal_(built.classifier.head.weight, generator=torch.Generator().manual_seed(0))
    card = ModelCard(
        classes=tuple(classes),
        bands=tuple(band.name for band in bands),
        statistics=statistics,
        tile_size=16,
        backbone=recipe.backbone.name,
        backbone_sha256=built.backbone_sha256,
        sites=tuple(modulated_sites(built.plan)),
        versions=current_versions(),
    )
    folder.mkdir()
    write_recipe(folder, recipe)
    write_model(folder, built.classifier, card)
    return folder


def change_card(run, **values):
    """Change values of the stored card of a run, whatever they are."""
    path = run / MODEL
    with safe_open(path, framework="pt") as stored:
        card = json.loads(stored.metadata()["rsmeta"])
    save_file(load_file(path), path, metadata={"rsmeta": json.dumps(card | values)})
