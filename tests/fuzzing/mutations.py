"""Changes to bytes that any file may suffer."""

import numpy as np

SPECIAL_BYTES = (0x00, 0x01, 0x0A, 0x20, 0x22, 0x5B, 0x7B, 0x7F, 0x80, 0xFE, 0xFF)


def pick(rng, choices):
    """One of some choices, which may be of any type."""
    return choices[int(rng.integers(len(choices)))]


def flipped(content, rng, first=0, last=None):
    """A few bytes between two places are others."""
    data = bytearray(content)
    last = len(data) if last is None else min(last, len(data))
    if first >= last:
        return content
    for place in rng.integers(first, last, size=int(rng.integers(1, 9))):
        kind = int(rng.integers(3))
        if kind == 0:
            data[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[place] = int(rng.integers(256))
        else:
            data[place] = pick(rng, SPECIAL_BYTES)
    return bytes(data)


def truncated(content, rng):
    """The end is missing, sometimes all."""
    return content[: int(rng.integers(len(content) + 1))]


def cut(content, rng):
    """A piece is missing in the middle."""
    start, stop = np.sort(rng.integers(len(content) + 1, size=2))
    return content[: int(start)] + content[int(stop) :]


def repeated(content, rng):
    """A piece stands twice."""
    start = int(rng.integers(len(content) + 1))
    stop = min(len(content), start + int(rng.integers(1, 4096)))
    return content[:stop] + content[start:]


def stuffed(content, rng):
    """Random bytes stand in between."""
    place = int(rng.integers(len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 64))) + content[place:]


DAMAGES = (flipped, flipped, flipped, truncated, cut, repeated, stuffed)


def damaged(content, rng):
    """Changed in one of these ways."""
    return pick(rng, DAMAGES)(content, rng)
