from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsmeta.bands import sensor
from rsmeta.data.chips import ChipArray, LabelledData


@pytest.fixture
def write_chip(tmp_path):
    """Write a raster of (bands, height, width) below the test's folder."""

    def write(name, values, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        driver = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix, "GTiff")
        bands, height, width = values.shape
        with rasterio.open(
            path, "w", driver=driver, count=bands, height=height, width=width,
            dtype=values.dtype, **options,
        ) as target:  # fmt: skip
            target.write(values)
        return path

    return write


@pytest.fixture
def labelled():
    """Random single-band chips with the given labels; chip number i holds the value i."""

    def make(labels, *, size=8, bands=("VV",), test=2):
        labels = np.array(labels, dtype=np.int64)
        images = np.empty((len(labels), len(bands), size, size), dtype=np.float32)
        images[:] = np.arange(len(labels), dtype=np.float32)[:, None, None, None]
        classes = tuple(f"class {label}" for label in range(labels.max() + 1))
        held = np.arange(test, dtype=np.int64) % len(classes)
        chips = ChipArray(images, labels)
        tests = ChipArray(images[: len(held)], held)
        return LabelledData(chips, tests, classes, sensor("sar").select(list(bands)))

    return make


@pytest.fixture
def table(tmp_path):
    """Write a table of rows (path, label, split, ...) as CSV or Parquet."""

    def write(frame, name="chips.csv") -> Path:
        path = tmp_path / name
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False)
        return path

    return write
