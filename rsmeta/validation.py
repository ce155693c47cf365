"""All checks of a recipe that need no training."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rsmeta.data.cautions import cautions
from rsmeta.data.inspection import InspectedData, load_inspected
from rsmeta.data.radiometry import build_radiometry
from rsmeta.longtail.groups import class_groups
from rsmeta.longtail.metrics import Group
from rsmeta.models.allocation import allocating
from rsmeta.models.classifier import BuiltModel, ChipClassifier, build_classifier
from rsmeta.models.frozen_prefix import require_frozen_prefix
from rsmeta.models.normalisation import require_normalised
from rsmeta.recipe import AdamW, Recipe
from rsmeta.train.loggers import require_loggers
from rsmeta.train.trainer import require_accelerator


@dataclass(frozen=True)
class ValidatedRecipe:
    """What a recipe amounts to.

    Attributes:
        inspected: The chips, and what they hold.
        groups: Classes of each group, with their training chips.
        built: The model before training, with its plan.
        memory: Estimate of the training memory of a process in bytes: weights, gradients, what
            the optimiser keeps, and the activations of the chips that pass together; what
            `compute.checkpoint_activations` saves is not taken off.
        cautions: What is allowed and may still surprise, see `rsmeta.data.cautions`.
    """

    inspected: InspectedData
    groups: dict[Group, list[tuple[str, int]]]
    built: BuiltModel
    memory: int
    cautions: list[str]


def validate_recipe(recipe: Recipe) -> ValidatedRecipe:
    """Check files, bands, classes, backbone and plan of a recipe.

    Raises:
        DataError: One line for each chip that cannot be used, or what else is wrong with the data.
        BackboneError: The backbone cannot be loaded, or does not fit into memory.
        RecipeError: The plan does not fit the backbone, nothing of it can be cached, the
            augmentation does not fit the bands, a logger is not installed, or there is no GPU.
    """
    require_loggers(recipe)
    require_accelerator(recipe.compute)
    inspected = load_inspected(recipe)
    data = inspected.data
    counts = data.train_counts
    assigned = class_groups(recipe.long_tail, data.classes, counts)
    build_radiometry(recipe.augmentation, data.bands, inspected.statistics)
    built = build_classifier(recipe, data.bands, len(data.classes), inspected.statistics)
    require_normalised(built.classifier, data, recipe.seed)
    built.classifier.store_frozen_low()
    if recipe.compute.cache_features:
        require_frozen_prefix(built.classifier.backbone)
    groups: dict[Group, list[tuple[str, int]]] = {group: [] for group in Group}
    for name, group, count in zip(data.classes, assigned, counts.tolist(), strict=True):
        groups[group].append((name, count))
    with allocating(f"a chip of backbone.image_size {recipe.backbone.image_size}"):
        memory = _training_memory(built.classifier, recipe, len(data.train))
    return ValidatedRecipe(
        inspected=inspected,
        groups=groups,
        built=built,
        memory=memory,
        cautions=cautions(recipe, data.bands, built.unread_bands),
    )


def _training_memory(classifier: ChipClassifier, recipe: Recipe, chips: int) -> int:
    """Weights, gradients, means of the optimiser, cached tokens, and what a forward pass keeps."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in classifier.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    size = recipe.backbone.image_size
    inputs = torch.zeros(1, classifier.mean.shape[1], size, size)
    cached = recipe.compute.cache_features
    if cached:
        with torch.no_grad():
            inputs = classifier.frozen_tokens(inputs)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        # Held, so that no counted address is used again.
        logits = classifier(inputs, from_tokens=cached)
    stored = sum(p.numel() * p.element_size() for p in classifier.parameters())
    trained = sum(p.numel() * p.element_size() for p in classifier.inner_parameters())
    del logits
    stored += chips * inputs.nbytes if cached else 0
    copies = 3 if isinstance(recipe.inner.optimiser, AdamW) else 2
    return stored + copies * trained + _chips_at_a_time(recipe) * sum(kept.values())


def _chips_at_a_time(recipe: Recipe) -> int:
    """Chips that pass through the model together, in one process; the outer batch as a whole."""
    processes = recipe.compute.processes
    inner = math.ceil(recipe.inner.batch_size / processes / recipe.inner.accumulate)
    outer = recipe.outer.batch_size // processes if recipe.learns_modulators else 0
    return max(inner, outer)
