"""Chips in photographs of mixed kinds, made alike on reading."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from rsmeta.data.chips import ChipSet, centre_crop
from rsmeta.errors import DataError
from rsmeta.recipe import Photo

_MODES = {"rgb": "RGB", "grey": "L"}
# Pillow clips modes of more than 8 bits when it converts them.
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"})
_READING_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class PhotoFiles(ChipSet):
    """Chips in photographs: coloured, grey, with a palette or with transparency.

    Args:
        paths: One file a chip.
        labels: (chips,), int64.
        crop: Side of the centre crop in pixels, or None for the whole chip.
        photo: What they are made.
    """

    def __init__(
        self, paths: Sequence[Path], labels: NDArray[np.int64], crop: int | None, photo: Photo
    ) -> None:
        self.paths = tuple(paths)
        self.labels = labels
        self._crop = crop
        self._photo = photo

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                if image.mode not in _EIGHT_BIT:
                    raise DataError(
                        f"chip '{path}' has pixels of kind {image.mode}, not of 8 bits; leave "
                        "data.photo out to read it as a raster"
                    )
                pixels = self._alike(image)
        except _READING_ERRORS as error:
            raise DataError(
                f"chip '{path}' cannot be read: {' '.join(str(error).split())}; copy or download "
                "it again"
            ) from error
        values = np.atleast_3d(np.asarray(pixels, dtype=np.float32)).transpose(2, 0, 1)
        return centre_crop(np.ascontiguousarray(values), self._crop, str(path))

    def _alike(self, image: Image.Image) -> Image.Image:
        converted = image.convert(_MODES[self._photo.mode])
        side = self._photo.square
        if side is None:
            return converted
        return ImageOps.fit(converted, (side, side), Image.Resampling.BILINEAR)

    def describe(self, index: int) -> str:
        """The chip's path."""
        return str(self.paths[index])
