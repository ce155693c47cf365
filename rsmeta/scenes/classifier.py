"""What a trained model must offer to classify a scene; the only thing `scenes` knows of it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TileClassifier(Protocol):
    """Classifies square tiles of a scene, each as a whole."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands expected, in the order of the tiles' second axis."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities' second axis."""
        ...

    @property
    def tile_size(self) -> int:
        """Side of a tile in pixels, unless another is asked for."""
        ...

    @property
    def tile_sizes(self) -> range:
        """Sides of the tiles that it can take, in pixels."""
        ...

    @property
    def fingerprint(self) -> str:
        """Differs between models that may give different probabilities."""
        ...

    @property
    def fill(self) -> NDArray[np.float32]:
        """Value of each band, (bands,), put where a pixel is not valid: the training mean."""
        ...

    @property
    def concurrency(self) -> int:
        """Threads that may call `probabilities` at a time, 1 or more."""
        ...

    def convert(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn values as scenes hold them into physical units.

        Args:
            values: (bands, height, width), NaN where there is no data.

        Returns:
            The same shape, NaN where there is no data; what it makes NaN is taken for nodata.
        """
        ...

    def probabilities(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities of tiles.

        Args:
            tiles: Physical units, (tiles, bands, size, size), no NaN; the size is in `tile_sizes`.

        Returns:
            (tiles, classes), rows sum to 1.
        """
        ...
