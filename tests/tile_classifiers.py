"""Classifiers of tiles that other processes can import."""

import os
import time
from types import SimpleNamespace

import numpy as np

from rsmeta.bands import sensor


class Mixing:
    """Probabilities that depend on every pixel of a tile, by numpy alone: exactly repeatable."""

    bands = ("VV",)
    classes = ("water", "forest", "urban")
    tile_size = 16
    tile_sizes = range(1, 100)
    concurrency = 1
    fingerprint = "mixing"
    fill = np.float32([0.5])
    pause = 0.0

    def __init__(self):
        self.tiles = 0
        self.batches = []

    def convert(self, values):
        return values

    def probabilities(self, tiles):
        time.sleep(self.pause)
        self.tiles += len(tiles)
        self.batches.append(len(tiles))
        ramp = np.linspace(-1, 1, tiles[0].size, dtype=np.float32).reshape(tiles.shape[1:])
        first = (tiles * ramp).sum(axis=(1, 2, 3))
        logits = np.stack([first, tiles.mean(axis=(1, 2, 3)) * 40, np.zeros_like(first)], axis=1)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)


class Slow(Mixing):
    """Takes its time, so that there is some to be killed in."""

    pause = 0.01


class Dying(Mixing):
    """Ends its process with the first tile."""

    def probabilities(self, tiles):
        os._exit(1)


class Telling(Slow):
    """Tells by an empty file in a folder in which process it is, and waits for a second process."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        (folder / str(os.getpid())).touch()

    def probabilities(self, tiles):
        # A worker that starts late would find nothing left to do.
        while len(list(self.folder.iterdir())) < 2:
            time.sleep(self.pause)
        return super().probabilities(tiles)


class Undecided(Mixing):
    """Returns no probabilities."""

    def probabilities(self, tiles):
        return super().probabilities(tiles) * np.float32(np.nan)


class PixelMean(Mixing):
    """A 1 x 1 convolution: the tile's class by the value all its pixels have."""

    fingerprint = "pixel mean"

    def probabilities(self, tiles):
        value = tiles[:, 0, 0, 0]
        return np.stack([value, 1 - value, np.zeros_like(value)], axis=1)


class Fixed(Mixing):
    """Every tile is of the second class."""

    fingerprint = "fixed"

    def probabilities(self, tiles):
        return np.tile(np.float32([0.1, 0.7, 0.2]), (len(tiles), 1))


def of_a_run(model):
    """The same classifier with what prediction asks of the model of a run."""
    model.card = SimpleNamespace(
        pixel_size=10.0, backbone="vit", backbone_sha256="0" * 64, temperature=1.0, versions={}
    )
    model.recipe = SimpleNamespace(
        data=SimpleNamespace(selected_bands=sensor("sar").select(["VV"])),
        peft=SimpleNamespace(method="lora"),
        compute=SimpleNamespace(precision="float32"),
    )
    model.compiled = False
    return model
