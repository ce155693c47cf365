"""How large the modulators start where a recipe says it as a share of what training bears."""

import logging
import math
from collections.abc import Iterable

from torch import Tensor

from rsmeta.data.datamodule import Batch
from rsmeta.errors import TrainingError
from rsmeta.longtail.losses import Criterion
from rsmeta.meta.curvature import LossOfLogits, largest_curvature, largest_stable_scale
from rsmeta.models.classifier import ChipClassifier
from rsmeta.recipe import AdditiveMethod, Recipe, Sgd

_LOGGER = logging.getLogger(__name__)


def start_modulators(
    classifier: ChipClassifier, recipe: Recipe, batches: Iterable[Batch], loss: Criterion
) -> int:
    """Scale the modulators to `peft.stability`, up to `peft.largest_scale`, where a recipe has it.

    Args:
        classifier: The model, with its head at its start; its modulators are changed in place.
        recipe: The recipe.
        batches: Some training chips without augmentation, on the model's device.
        loss: Of the inner loop.

    Returns:
        How many chips were passed through the model.

    Raises:
        TrainingError: The loss does not depend on the adapters.
    """
    peft, bank, optimiser = recipe.peft, classifier.modulators, recipe.inner.optimiser
    if not isinstance(peft, AdditiveMethod) or peft.stability is None:
        return 0
    assert bank is not None and isinstance(optimiser, Sgd)
    curvature, passes = _curvature(classifier, recipe, list(batches), loss)
    largest = math.nan
    if 0 < curvature < math.inf:
        largest = largest_stable_scale(curvature, recipe.inner.learning_rate, optimiser.momentum)
    scale = peft.stability * largest
    if not 0 < scale < math.inf:
        raise TrainingError(
            f"peft.stability: the largest curvature of the loss in the adapters is {curvature:g}, "
            "so that no scale follows from it; set peft.gamma instead"
        )
    if peft.largest_scale is not None:
        scale = min(scale, peft.largest_scale)
    bank.set_scale(bank.rho.detach().clone(), scale)
    _LOGGER.info(
        "modulators start %g times as large: the largest curvature in the adapters is %g, and "
        "the first steps are stable up to a scale of %g",
        scale,
        curvature,
        largest,
    )
    return passes


def _curvature(
    classifier: ChipClassifier, recipe: Recipe, batches: list[Batch], loss: Criterion
) -> tuple[float, int]:
    passes = 0

    def logits(batch: Batch) -> Tensor:
        nonlocal passes
        passes += len(batch["label"])
        found: Tensor = classifier(batch["image"], recipe.compute.cache_features)
        return found.float()

    # The head has no modulator, and those of bands are scaled by none of this.
    names = classifier.inner_names()
    named = zip(names, classifier.inner_parameters(), strict=True)
    adapters = [parameter for name, parameter in named if name.startswith("backbone.blocks.")]
    bank = classifier.modulators
    assert bank is not None
    training = classifier.training
    classifier.eval()
    with bank.constant(), classifier.head.unshifted():
        found = largest_curvature(LossOfLogits(logits, loss, batches, adapters))
    classifier.train(training)
    return found, passes
