"""CIFAR-100 in miniature, in CIFAR's own files, as torchvision accepts it."""

import hashlib
import pickle

import numpy as np
from torchvision.datasets import CIFAR100


def write_cifar100(root, monkeypatch, *, classes=10, train=40, test=2):
    """Write so many images a class; image number i of a file holds the value i % 251.

    torchvision compares the files with the digests of the real ones, which its class keeps: for
    the test they are those of the files written.
    """
    folder = root / CIFAR100.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("train", train), ("test", test)):
        labels = rng.permutation(np.repeat(np.arange(classes), count)).tolist()
        values = np.arange(len(labels)) % 251
        data = np.repeat(values[:, None], 3072, axis=1).astype(np.uint8)
        data[:, 1024:2048] = 255 - data[:, 1024:2048]
        data[:, 2048:] = data[:, 2048:] if name == "train" else 252  # no image of the other file
        content = {"data": data, "fine_labels": labels, "coarse_labels": labels}
        monkeypatch.setattr(CIFAR100, f"{name}_list", [[name, _write(folder / name, content)]])
    names = {"fine_label_names": [f"thing {i}" for i in range(classes)], "coarse_label_names": []}
    meta = {"filename": "meta", "key": "fine_label_names", "md5": _write(folder / "meta", names)}
    monkeypatch.setattr(CIFAR100, "meta", meta)


def _write(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
