"""Images passed through a model in groups of one size, so that no bit depends on their number.

Matrix kernels of CPUs choose the order of their sums by the number of rows: the same image in a
batch of another size comes out with other last bits. In groups of one size, the last one filled up,
each image meets the same kernels whatever it is given with.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS = 512
_LARGEST = 64


def group_size(tokens: int) -> int:
    """Number of images in a group: a power of two, up to 64, whose tokens keep a matmul busy.

    Args:
        tokens: Tokens of an image, >= 1.
    """
    return min(_LARGEST, 1 << math.ceil(math.log2(max(1.0, _ROWS / tokens))))


def in_groups(compute: Callable[[Tensor], Tensor], images: Tensor, size: int) -> Tensor:
    """Apply a model to images in groups of one size.

    Args:
        compute: Maps (size, ...) to (size, ...), each image by itself.
        images: (n, ...), n >= 1.
        size: Images in a group.

    Returns:
        (n, ...).
    """
    missing = -len(images) % size
    filled = F.pad(images, [0, 0] * (images.ndim - 1) + [0, missing]) if missing else images
    return torch.cat([compute(group) for group in filled.split(size)])[: len(images)]
