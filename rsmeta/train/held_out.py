"""What a model says of chips that it is not being trained on."""

from collections.abc import Iterable

import torch
from torch import Tensor

from rsmeta.data.datamodule import Batch
from rsmeta.models.classifier import ChipClassifier


@torch.no_grad()
def held_out_logits(
    classifier: ChipClassifier, batches: Iterable[Batch], from_tokens: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits and labels of chips.

    Args:
        classifier: The model; its mode stays as it was.
        batches: The chips.
        from_tokens: Whether the batches hold tokens, see `ChipDataModule.keep_tokens`.

    Returns:
        Logits (chips, classes), float64, and labels (chips,), both on the CPU.
    """
    device = next(classifier.parameters()).device
    training = classifier.training
    classifier.eval()
    logits, labels = [], []
    for batch in batches:
        logits.append(classifier(batch["image"].to(device), from_tokens).double().cpu())
        labels.append(batch["label"].cpu())
    classifier.train(training)
    return torch.cat(logits), torch.cat(labels)
