"""A miniature DOTA in the layout that TorchGeo's class expects."""

import csv
import tarfile

import numpy as np
from PIL import Image

HEADER = "imagesource:GoogleEarth\ngsd:0.146343590398\n"

BOX = (10, 20, 30, 20, 30, 32, 10, 32)
"""Corners of a rectangle 20 pixels wide and 12 high, clockwise from the top left."""

EVERYWHERE = ((BOX, "ship"), ((40, 5, 48, 5, 48, 15, 40, 15), "plane"))


def pixels(name, height=40, width=60):
    """The image of a name, (height, width, 3): every pixel differs from its neighbours."""
    generator = np.random.default_rng(list(name.encode()))
    return generator.integers(1, 256, (height, width, 3)).astype(np.uint8)


def dota(root, train, val, objects=None, version="1.0"):
    """Images of both splits with (corners, class) of each image, or the same ones in all."""
    rows = []
    for split, names in (("train", train), ("val", val)):
        images, texts = root / split / "images", root / split / "annotations" / f"version{version}"
        images.mkdir(parents=True, exist_ok=True)
        texts.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            Image.fromarray(pixels(name)).save(images / f"{name}.png")
            found = EVERYWHERE if objects is None else objects.get(name, ())
            lines = [f"{' '.join(f'{c:.1f}' for c in box)} {label} 0\n" for box, label in found]
            # Some annotations of the real set begin without a header.
            (texts / f"{name}.txt").write_text((HEADER if number % 2 == 0 else "") + "".join(lines))
            parts = (images / f"{name}.png", texts / f"{name}.txt")
            rows.append([*(part.relative_to(root) for part in parts), split, version])
    with (root / "samples.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_path", "annotation_path", "split", "version"])
        writer.writerows(rows)


def pack(root, version="1.0"):
    """Leave samples.csv and the archives alone, as downloaded."""
    for split in ("train", "val"):
        for kind, stem in (("images", "1.0"), ("annotations", version)):
            folder = root / split / kind
            with tarfile.open(root / f"dotav{stem}_{kind}_{split}.tar.gz", "w:gz") as archive:
                archive.add(folder, f"{split}/{kind}")
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()
