"""What 50 labels are worth: those of `rsmeta suggest` against 50 random tiles of the same scene.

    python benchmarks/suggest_labels.py --seeds 0 1 2 3 4

A head is trained on a few simulated SAR chips, 20 of the first class down to 1 of the last, over
the fixed features of the embedded backbone: a linear probe, so that the labels make the difference.
Of a scene 50 tiles, suggested or random ones, are labelled from the truth, and the head is trained
with them added; a tile of which no class covers half stays without a label, as an analyst would
leave it. All models are tested on the same chips: evenly many simulated ones of each class, and
tiles of two other scenes of which a class covers three quarters, at most as many of each class.
Tail classes are those of fewer than 8 chips before. Writes results/suggest_labels.json.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio
from rasterio.features import rasterize

from rsmeta.bands import SimulatedSensor
from rsmeta.data.chips import ChipArray, ChipSet
from rsmeta.data.combined import JoinedChips
from rsmeta.data.simulator import CLASSES
from rsmeta.data.simulator.product import SimulatedProduct, write_scene
from rsmeta.data.sources import load_data
from rsmeta.evaluation import classify
from rsmeta.finetuning import finetune
from rsmeta.recipe import Recipe
from rsmeta.runs import current_versions, load_run
from rsmeta.suggestion import suggest

RESULTS = Path(__file__).parent / "results"
TILE, STRIDE = 64, 32
LABELS = 50
TAIL_BELOW = 8
LARGEST_CLASS, SMALLEST_CLASS = 20, 1
ARMS = ("before", "random", "suggested")


def recipe(seed: int, folder: Path, added: list[dict[str, object]], epochs: int) -> Recipe:
    """The recipe of one model: the first chips, and what was labelled since."""
    first = {
        "source": "simulator",
        "crop": TILE,
        "largest_class": LARGEST_CLASS,
        "imbalance": LARGEST_CLASS / SMALLEST_CLASS,
        "test_per_class": 1,
    }
    return Recipe.model_validate(
        {
            "name": "suggest_labels",
            "seed": seed,
            "runs": folder / "runs",
            "data": {"source": "combined", "parts": [first, *added]} if added else first,
            "peft": {"method": "linear_probe"},
            "inner": {"epochs": epochs, "batch_size": 16, "learning_rate": 0.03},
        }
    )


def labelled(product: SimulatedProduct, tiles: Path) -> dict[str, object]:
    """The part of a recipe that reads labelled tiles."""
    scene = {"raster": product.scene, "labels": tiles, "class_column": "label", "split": "train"}
    return {
        "source": "labelled_scene",
        "scenes": [scene],
        "class_column": "label",
        "sensor": "sentinel1",
        "bands": ["VV", "VH"],
        "chip": TILE,
        "block_metres": 1000,
    }


def random_tiles(product: SimulatedProduct, seed: int, path: Path) -> Path:
    """Random tiles of the grid that `rsmeta suggest` chooses from, without a label."""
    with rasterio.open(product.scene) as scene:
        steps = (scene.width - TILE) // STRIDE + 1
        crs, transform = scene.crs, scene.transform
    drawn = np.random.default_rng([seed, 2]).permutation(steps**2)[:LABELS]
    left, top = drawn % steps * STRIDE, drawn // steps * STRIDE
    squares = gpd.GeoSeries.from_wkt(
        [
            f"POLYGON (({x} {y}, {x + TILE} {y}, {x + TILE} {y + TILE}, {x} {y + TILE}, {x} {y}))"
            for x, y in zip(left, top, strict=True)
        ]
    ).affine_transform(transform.to_shapely())
    gpd.GeoDataFrame({"label": [None] * len(drawn)}, geometry=squares.set_crs(crs)).to_file(path)
    return path


def fill_in(tiles: Path, product: SimulatedProduct) -> pd.Series:
    """Label tiles as an analyst would who knows the truth; returns the labels."""
    layer = pyogrio.list_layers(tiles)[0, 0]
    frame = gpd.read_file(tiles, layer=layer)
    with rasterio.open(product.truth) as truth:
        values, transform = truth.read(1), truth.transform
    frame["label"] = frame["label"].astype(object)
    for index, tile in frame.geometry.items():
        inside = rasterize([tile], values.shape, transform=transform).astype(bool)
        counts = np.bincount(values[inside], minlength=256)[: len(CLASSES)]
        if counts.max() >= inside.sum() / 2:
            frame.loc[index, "label"] = CLASSES[counts.argmax()]
    frame.to_file(tiles, layer=layer)
    return frame["label"].dropna()


def test_chips(seed: int, size: int, count: int, folder: Path) -> ChipSet:
    """Simulated chips, and tiles of scenes that no model has seen."""
    data = {"source": "simulator", "largest_class": 1, "imbalance": 1, "test_per_class": count}
    recipe = Recipe.model_validate({"name": "test", "seed": 1000 + seed, "data": data})
    chips = load_data(recipe).test
    images, labels = [], []
    for number in range(2):
        path = folder / f"test{number}.tif"
        product = write_scene(path, SimulatedSensor.SAR, size, 1000 + 2 * seed + number)
        with rasterio.open(product.scene) as scene, rasterio.open(product.truth) as truth:
            values, classes = scene.read(), truth.read(1)
        for top in range(0, size - TILE + 1, STRIDE):
            for left in range(0, size - TILE + 1, STRIDE):
                tile = np.s_[top : top + TILE, left : left + TILE]
                covered = np.bincount(classes[tile].ravel(), minlength=256)[: len(CLASSES)]
                if covered.max() >= 3 / 4 * TILE**2:
                    images.append(values[(slice(None), *tile)])
                    labels.append(int(covered.argmax()))
    found = np.array(labels, dtype=np.int64)
    order = np.random.default_rng([seed, 3]).permutation(len(found))
    kept = np.concatenate([order[found[order] == label][:count] for label in range(len(CLASSES))])
    tiles = ChipArray(np.stack([images[index] for index in kept]), found[kept])
    return JoinedChips([chips, tiles], np.concatenate([chips.labels, tiles.labels]))


def accuracies(run: Path, test: ChipSet) -> np.ndarray:
    """Accuracy of each class."""
    found = classify(load_run(run, merged=True), test)
    return np.array([found.correct[found.labels == label].mean() for label in range(len(CLASSES))])


def compare(seed: int, size: int, epochs: int, count: int) -> list[dict[str, object]]:
    """One row a model: its number of labels, and its accuracy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test = test_chips(seed, size, count, folder)
        scene = write_scene(folder / "scene.tif", SimulatedSensor.SAR, size, seed)
        before = finetune(recipe(seed, folder, [], epochs))
        counts = {entry.name: entry.train_chips for entry in before.metrics.classes}
        tail = np.array([counts[name] < TAIL_BELOW for name in CLASSES])
        rows = []
        for arm in ARMS:
            found, run = pd.Series(dtype=str), before.folder
            if arm != "before":
                tiles = folder / f"{arm}.gpkg"
                if arm == "random":
                    random_tiles(scene, seed, tiles)
                else:
                    suggest(scene.scene, before.folder, tiles, LABELS)
                found = fill_in(tiles, scene)
                run = finetune(recipe(seed, folder, [labelled(scene, tiles)], epochs)).folder
            reached = accuracies(run, test)
            names = np.array(CLASSES)
            rows.append(
                {
                    "seed": seed,
                    "labels": arm,
                    "labelled_tiles": len(found),
                    "tail_tiles": int(np.isin(found, names[tail]).sum()),
                    "tail_classes": int(tail.sum()),
                    "tail_accuracy": float(reached[tail].mean()),
                    "mean_accuracy": float(reached.mean()),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(8)))
    parser.add_argument("--size", type=int, default=1280)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--test-chips", type=int, default=20)
    arguments = parser.parse_args()
    started = time.perf_counter()
    rows = []
    for seed in arguments.seeds:
        rows += compare(seed, arguments.size, arguments.epochs, arguments.test_chips)
        print(pd.DataFrame(rows[-len(ARMS) :]).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    means = table.groupby("labels")[["tail_accuracy", "mean_accuracy", "tail_tiles"]].mean()
    print(means)
    values = {
        "settings": vars(arguments) | {"labels": LABELS, "tail_below": TAIL_BELOW},
        "versions": current_versions(),
        "seconds": round(time.perf_counter() - started),
        "means": means.round(4).to_dict("index"),
        "rows": rows,
    }
    (RESULTS / "suggest_labels.json").write_text(json.dumps(values, indent=2) + "\n")


if __name__ == "__main__":
    main()
