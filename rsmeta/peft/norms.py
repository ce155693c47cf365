"""Norms of updates and of what they are added to."""

import torch
from torch import Tensor


def norm_sum(vectors: Tensor) -> float:
    """Sum of the Euclidean norms of vectors (..., width), computed at least in float32."""
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    return float(torch.linalg.vector_norm(vectors, dim=-1, dtype=dtype).sum())


def relative_norm(update: float, base: float) -> float:
    """Their ratio; relative to nothing, 0 for no update and infinite for any other."""
    if base == 0:
        return float("inf") if update > 0 else 0.0
    return update / base
