"""Chips per second, decoded and augmented: one packed file beside one GeoTIFF a chip.

    python benchmarks/chip_throughput.py --workers 2

Chips of 64 x 64 pixels and 13 bands, float32, come through the data set that training uses, in
batches of 64 from a shuffled loader: reading, augmentation, filling, resizing, stacking. Files were
just written and lie in the system's page cache, so that decoding is measured and not the disk.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning
from torch.utils.data import DataLoader

from rsmeta.bands import sensor
from rsmeta.data.chips import ChipArray, ChipFiles, ChipSet, LabelledData
from rsmeta.data.datamodule import ChipDataset, collate
from rsmeta.data.packed import load_packed, pack_chips
from rsmeta.data.statistics import BandStatistics
from rsmeta.model_card import current_versions
from rsmeta.recipe import Augmentation, PackedData

RESULTS = Path(__file__).parent / "results"
BANDS = sensor("sentinel2-l1c").bands
SIZE = 64
AUGMENTATIONS = {
    "none": Augmentation(),
    "flips": Augmentation(geometry="flips"),
    "d4": Augmentation(geometry="d4"),
    "d4 and crop": Augmentation(geometry="d4", crop_scale=(0.6, 1.0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chips", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="Processes.")
    parser.add_argument("--repeats", type=int, default=3, help="The best of so many passes counts.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(Path(folder), arguments.chips)
        rates = {
            source: {
                name: round(best_rate(chips, config, arguments.workers, arguments.repeats))
                for name, config in AUGMENTATIONS.items()
            }
            for source, chips in sources.items()
        }
    result = {
        "chips": arguments.chips,
        "shape": [len(BANDS), SIZE, SIZE],
        "processes": max(arguments.workers, 1),
        "cores": os.cpu_count(),
        "load_of_the_machine_at_the_end": round(os.getloadavg()[0], 1),
        "chips_per_second": rates,
        "versions": current_versions(),
    }
    text = json.dumps(result, indent=2)
    (RESULTS / "chip_throughput.json").write_text(text + "\n")
    print(text)


def write_sources(folder: Path, count: int) -> dict[str, ChipSet]:
    """The same chips as one packed file and as GeoTIFFs, by name."""
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 1, (count, len(BANDS), SIZE, SIZE)).astype(np.float32)
    labels = np.arange(count) % 10
    chips = ChipArray(images, labels)
    packed = folder / "chips.arrow"
    names = tuple(f"class {number}" for number in range(10))
    pack_chips(LabelledData(chips, ChipArray(images[:1], labels[:1]), names, BANDS), packed)
    paths = [folder / f"{number}.tif" for number in range(count)]
    profile = {"driver": "GTiff", "count": len(BANDS), "height": SIZE, "width": SIZE}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for path, image in zip(paths, images, strict=True):
            with rasterio.open(path, "w", dtype="float32", **profile) as target:
                target.write(image)
    section = PackedData(source="packed", file=packed, sensor="sentinel2-l1c")
    files = ChipFiles(paths, labels, len(BANDS), None)
    return {"packed file": load_packed(section, 0).train, "GeoTIFF files": files}


def best_rate(chips: ChipSet, augmentation: Augmentation, workers: int, repeats: int) -> float:
    """Chips per second of the fastest pass; worker processes are started before."""
    statistics = BandStatistics((0.5,) * len(BANDS), (0.3,) * len(BANDS))
    loader = DataLoader(
        ChipDataset(chips, statistics, SIZE, augmentation, 0),
        batch_size=64,
        shuffle=True,
        collate_fn=collate,
        num_workers=0 if workers == 1 else workers,
        persistent_workers=workers > 1,
    )
    for _ in loader:
        pass
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in loader:
            pass
        seconds.append(time.perf_counter() - started)
    return len(chips) / min(seconds)


if __name__ == "__main__":
    main()
