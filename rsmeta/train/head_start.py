"""What the head starts from."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from rsmeta.data.datamodule import Batch
from rsmeta.longtail.losses import Criterion
from rsmeta.models.classifier import ChipClassifier
from rsmeta.recipe import Recipe


def start_head(
    classifier: ChipClassifier, recipe: Recipe, batches: Iterable[Batch], loss: Criterion
) -> None:
    """Fit the head to the features of the model as it is, by the recipe's way.

    Args:
        classifier: The model; its head is changed in place.
        recipe: The recipe.
        batches: All training chips without augmentation, on the model's device.
        loss: Of the inner loop.
    """
    start, head = recipe.head.initialisation, classifier.head
    if start == "random":
        return
    classifier.eval()
    seen = list(_features(classifier, batches, recipe.compute.cache_features))
    classifier.train()
    head.start_at_class_means(seen)
    if start == "linear_probe":
        features, labels = (torch.cat(column) for column in zip(*seen, strict=True))
        head.fit(features, labels, loss)


@torch.no_grad()
def _features(
    classifier: ChipClassifier, batches: Iterable[Batch], from_tokens: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    features = classifier.features_from_tokens if from_tokens else classifier.features
    for batch in batches:
        yield features(batch["image"]), batch["label"]
