"""Miniature data sets in the formats of the real ones, as TorchGeo's classes expect them."""

import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

EUROSAT_FOLDER = Path("ds/images/remote_sensing/otherDatasets/sentinel_2/tif")
EUROSAT_CLASSES = ("AnnualCrop", "Forest", "SeaLake")
SPLITS = ("train", "val", "test")
PER_SPLIT = {"train": 3, "val": 2, "test": 1}


def random(*shape, high=256, key=0):
    return np.random.default_rng([key, *shape]).integers(0, high, shape)


def eurosat(root, prefix="eurosat", archive=False):
    """13 bands of uint16 in GeoTIFFs; the lists of its splits name JPEGs, as the real ones do."""
    listed = {split: [] for split in SPLITS}
    for label, name in enumerate(EUROSAT_CLASSES):
        numbers = iter(range(1, 99))
        for split in SPLITS:
            for number in [next(numbers) for _ in range(PER_SPLIT[split])]:
                path = root / EUROSAT_FOLDER / name / f"{name}_{number}.tif"
                write_raster(path, random(13, 8, 8, high=9000, key=10 * label + number), "uint16")
                listed[split].append(f"{name}_{number}.jpg")
    for split, names in listed.items():
        (root / f"{prefix}-{split}.txt").write_text("\n".join(names) + "\n")
    if archive:
        pack(root, "EuroSATallBands.zip", "ds")


def write_raster(path, values, dtype):
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=dtype
        ) as target:
            target.write(values.astype(dtype))


def photographs(root, folder, classes, name, size=16):
    """RGB files FOLDER/CLASS/...; `name` formats the class and a number from 1."""
    for label, title in enumerate(classes):
        for number in range(1, 7):
            path = root / folder / title / name.format(title, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            values = random(size, size, 3, key=10 * label + number).astype(np.uint8)
            Image.fromarray(values).save(path)


def split_lists(root, prefix, classes, name):
    """The first three chips of a class train, then two val, then one test."""
    for split, numbers in zip(SPLITS, ((1, 2, 3), (4, 5), (6,)), strict=True):
        lines = [name.format(title, number) for title in classes for number in numbers]
        (root / f"{prefix}-{split}.txt").write_text("\n".join(lines) + "\n")


def resisc45(root):
    classes, name = ("airplane", "beach"), "{}_{:03d}.jpg"
    photographs(root, "NWPU-RESISC45", classes, name)
    split_lists(root, "resisc45", classes, name)
    pack(root, "NWPU-RESISC45.zip", "NWPU-RESISC45")


def ucmerced(root):
    classes, name = ("agricultural", "airplane"), "{}{:02d}.tif"
    photographs(root, "UCMerced_LandUse/Images", classes, name)
    split_lists(root, "uc_merced", classes, name)
    pack(root, "UCMerced_LandUse.zip", "UCMerced_LandUse")


def patternnet(root):
    photographs(root, "PatternNet/images", ("airplane", "bridge"), "{}{:03d}.jpg")
    pack(root, "PatternNet.zip", "PatternNet")


def pack(root, archive, folder):
    """Leave the archive alone, as downloaded."""
    shutil.make_archive(str(root / archive.removesuffix(".zip")), "zip", root, folder)
    shutil.rmtree(root / folder)


def so2sat(root, labels=(0, 16, 3, 3), subfolder=""):
    """sen1 (chips, 8, 8, 8), sen2 (chips, 8, 8, 10) and one-hot labels of 17 classes."""
    (root / subfolder).mkdir(parents=True, exist_ok=True)
    for key, name in enumerate(("training", "validation", "testing")):
        generator = np.random.default_rng(key)
        with h5py.File(root / subfolder / f"{name}.h5", "w") as file:
            radar = generator.normal(size=(len(labels), 8, 8, 8))
            radar[..., 4:6] = generator.gamma(2.0, 0.05, size=(len(labels), 8, 8, 2))
            radar[0, 0, 0, 4] = 0
            file["sen1"] = radar
            file["sen2"] = generator.uniform(0, 0.4, size=(len(labels), 8, 8, 10))
            file["label"] = np.eye(17)[list(labels)]


def quakeset(root, patches=2):
    """One group an earthquake with its split; pre, post and, for most, before of each patch."""
    with h5py.File(root / "earthquakes.h5", "w") as file:
        for number, split in enumerate(("train", "train", "validation", "test")):
            quake = file.create_group(f"quake{number}")
            quake.attrs.update({"split": split, "magnitude": 5.5})
            quake["x"], quake["y"] = np.zeros(3), np.zeros(3)
            for patch in range(patches):
                names = ("pre", "post", "before") if patch == 0 else ("pre", "post")
                for time, name in enumerate(names):
                    generator = np.random.default_rng([number, patch, time])
                    values = generator.gamma(2.0, 0.05, size=(8, 8, 2))
                    values[0, 0] = np.nan
                    quake[f"patch_{patch}/{name}"] = values
