"""What a model makes of labelled chips: features, logits and the probabilities they stand for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rsmeta.longtail.calibration import expected_calibration_error
from rsmeta.longtail.predictions import ChipPredictions


@dataclass(frozen=True)
class ChipOutputs:
    """What a model makes of labelled chips, one by one.

    Attributes:
        features: What the head reads, (chips, width), float32.
        logits: (chips, classes).
        labels: True classes, (chips,).
        temperature: Divides the logits before the softmax.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor
    temperature: float

    @cached_property
    def predictions(self) -> ChipPredictions:
        """The most probable classes, with calibrated confidences."""
        return ChipPredictions.from_logits(self.logits / self.temperature, self.labels)

    @cached_property
    def uncalibrated(self) -> ChipPredictions:
        """The same classes, with the confidences at a temperature of 1."""
        return ChipPredictions.from_logits(self.logits, self.labels)

    @property
    def calibration_errors(self) -> tuple[float, float]:
        """Expected calibration error, 0..1, without and with the temperature."""
        before, after = map(expected_calibration_error, (self.uncalibrated, self.predictions))
        return before, after

    @property
    def true_probability(self) -> NDArray[np.float64]:
        """Calibrated probability of each chip's true class, (chips,)."""
        probabilities = (self.logits.double() / self.temperature).softmax(dim=-1)
        found: NDArray[np.float64] = probabilities.gather(1, self.labels[:, None])[:, 0].numpy()
        return found
