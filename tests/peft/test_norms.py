import math

import pytest
import torch

from rsmeta.peft.norms import norm_sum, relative_norm


def test_norms_are_summed_over_all_but_the_last_axis():
    vectors = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[5.0, 12.0], [-8.0, 6.0]]])
    assert norm_sum(vectors) == 5 + 0 + 13 + 10


def test_half_precision_is_summed_in_float32_and_double_stays_double():
    half = torch.full((1000, 4), 200.0, dtype=torch.float16)
    assert norm_sum(half) == pytest.approx(400 * 1000)
    double = torch.tensor([[1.0, 1e-5]], dtype=torch.float64)
    assert norm_sum(double) == pytest.approx(math.hypot(1, 1e-5), rel=1e-14)


@pytest.mark.parametrize(
    ("update", "base", "ratio"),
    [(3.0, 2.0, 1.5), (0.0, 2.0, 0.0), (0.5, 1.0, 0.5), (0.0, 0.0, 0.0), (0.5, 0.0, math.inf)],
)
def test_relative_norms(update, base, ratio):
    assert relative_norm(update, base) == ratio
