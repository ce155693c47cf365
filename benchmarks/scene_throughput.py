"""Pixels per second of prediction against the bare model on the same batches in memory.

    python benchmarks/scene_throughput.py

A ViT-S/14 at 70 px with random weights classifies a two-band scene with speckle, tiles of 70 px at
a stride of 70 px, from the file to all default products. The bare model is timm's own, without
normalisation or softmax, in batches of 64 by all threads together; those of 32 that prediction
makes, one a thread, would be slower for it. Both take turns in one process; ratios are of
neighbours. Then the stages without a model, by a stand-in that costs nothing: reading, i.e. up to
the tiles, and writing. Processor time is given beside the time: on a machine that does other things
it is the fairer one.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import timm
import torch
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window
from safetensors.torch import save_file

from rsmeta.bands import sensor
from rsmeta.data.statistics import BandStatistics
from rsmeta.model_card import ModelCard, current_versions
from rsmeta.models.classifier import build_classifier
from rsmeta.peft.merging import merge
from rsmeta.recipe import Recipe
from rsmeta.runs import TrainedModel
from rsmeta.scenes import TileClassifier, predict_rows, predict_scene
from rsmeta.scenes.map_writer import Resolution

RESULTS = Path(__file__).parent / "results" / "scene_throughput.json"
ARCHITECTURE = "vit_small_patch14_dinov2"
BANDS = ("VV", "VH")
CLASSES = tuple(f"class {number}" for number in range(10))
TILE, BATCH, ROWS = 70, 64, 512


@dataclass(frozen=True)
class Spent:
    """Time that something took.

    Attributes:
        seconds: By the clock.
        processor_seconds: Of all threads of this process.
        result: What it returned.
    """

    seconds: float
    processor_seconds: float
    result: int


class Constant:
    """Stands in for a model: what it is given has been read, and it costs nothing."""

    bands, classes, tile_size = BANDS, CLASSES, TILE
    tile_sizes = range(TILE, TILE + 1)
    concurrency = 1
    fingerprint = "constant"
    fill = np.zeros(len(BANDS), dtype=np.float32)

    def convert(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values

    def probabilities(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        # Classes come in patches, as in a real map: a constant one would compress to nothing.
        likely = (np.abs(tiles[:, 0, 0, 0]) * 3).astype(int) % len(CLASSES)
        return np.where(np.eye(len(CLASSES))[likely] > 0, 0.55, 0.05).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=4200)
    parser.add_argument("--width", type=int, default=10_980)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = write_scene(folder / "scene.tif", arguments.height, arguments.width)
        result = measure(scene, arguments.height, arguments.width, arguments.rounds)
    text = json.dumps(result, indent=2)
    arguments.out.write_text(text + "\n")
    print(text)


def measure(scene: Path, height: int, width: int, rounds: int) -> dict[str, object]:
    tiles = -(-height // TILE) * -(-width // TILE)
    batches = batches_of(tiles, width)
    adapted, bare = models(scene.parent)
    predict_to_files(crop(scene), adapted, "cell")
    forward(bare, batches[:2])
    spent: dict[str, list[Spent]] = {"cell": [], "pixel": [], "bare": []}
    for _ in range(rounds):
        spent["cell"].append(timed(lambda: predict_to_files(scene, adapted, "cell")))
        spent["bare"].append(timed(lambda: forward(bare, batches)))
        spent["pixel"].append(timed(lambda: predict_to_files(scene, adapted, "pixel")))
    reading = timed(lambda: len(list(predict_rows(scene, Constant(), stride=TILE))))
    result: dict[str, object] = {
        "height": height,
        "width": width,
        "bands": len(BANDS),
        "tile": TILE,
        "tiles": tiles,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "bytes_of_scene": scene.stat().st_size,
        "bare_model": summary(spent["bare"], height * width),
        "processor_seconds_of_reading": round(reading.processor_seconds, 2),
    }
    for resolution in ("cell", "pixel"):
        whole = timed(lambda chosen=resolution: predict_to_files(scene, Constant(), chosen))
        writing = whole.processor_seconds - reading.processor_seconds
        result[f"prediction_at_{resolution}_resolution"] = {
            **summary(spent[resolution], height * width),
            "ratio": ratio(spent["bare"], spent[resolution], "seconds"),
            "ratio_of_processor_time": ratio(spent["bare"], spent[resolution], "processor_seconds"),
            "processor_seconds_of_writing": round(writing, 2),
            "bytes_of_products": whole.result,
        }
    result["load_of_the_machine_at_the_end"] = round(os.getloadavg()[0], 1)
    result["versions"] = current_versions()
    return result


def predict_to_files(scene: Path, classifier: TileClassifier, resolution: Resolution) -> int:
    """Predict to a new folder; the bytes of all products."""
    with tempfile.TemporaryDirectory(dir=scene.parent) as out:
        done = predict_scene(scene, classifier, out, stride=TILE, resolution=resolution)
        return sum(path.stat().st_size for path in done.files.values())


def write_scene(path: Path, height: int, width: int) -> Path:
    """Backscatter in dB of square fields, with the speckle of four looks."""
    generator = np.random.default_rng(0)
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=len(BANDS), dtype="float32",
        tiled=True, blockxsize=512, blockysize=512, compress="deflate", predictor=3,
        crs="EPSG:32631", transform=from_origin(500_000, 5_700_000, 10, 10),
    ) as dataset:  # fmt: skip
        dataset.descriptions = BANDS
        for top in range(0, height, ROWS):
            rows = min(ROWS, height - top)
            fields = generator.uniform(-20, -5, (len(BANDS), rows // 128 + 1, width // 128 + 1))
            mean = fields.repeat(128, 1).repeat(128, 2)[:, :rows, :width]
            speckle = generator.gamma(4, 1 / 4, mean.shape)
            values = (mean + 10 * np.log10(speckle)).astype(np.float32)
            dataset.write(values, window=Window(0, top, width, rows))
    return path


def crop(scene: Path) -> Path:
    """A corner of the scene, to warm up with."""
    path = scene.with_name("corner.tif")
    with rasterio.open(scene) as source:
        side = 4 * TILE
        values = source.read(window=Window(0, 0, side, side))
        profile = source.profile | {"height": side, "width": side}
        with rasterio.open(path, "w", **profile) as target:
            target.write(values)
            target.descriptions = BANDS
    return path


def models(folder: Path) -> tuple[TrainedModel, torch.nn.Module]:
    """The merged model of a run, and timm's own of the same architecture."""
    torch.manual_seed(0)
    settings = {"img_size": TILE, "dynamic_img_size": False}
    weights = folder / "weights.safetensors"
    model = timm.create_model(ARCHITECTURE, num_classes=0, **settings)
    save_file(model.state_dict(), weights)
    backbone = {"name": f"timm:{ARCHITECTURE}", "file": weights, "image_size": TILE}
    data = {"source": "simulator"}
    recipe = Recipe.model_validate({"name": "speed", "data": data, "backbone": backbone})
    bands = sensor("sentinel1").select(list(BANDS))
    moments = BandStatistics(mean=(-12.0,) * len(BANDS), std=(5.0,) * len(BANDS))
    built = build_classifier(recipe, bands, len(CLASSES), moments)
    merge(built.classifier.backbone)
    built.classifier.store_frozen_low()
    card = ModelCard(
        CLASSES, BANDS, moments, TILE, ARCHITECTURE, built.backbone_sha256, (), current_versions()
    )
    bare = timm.create_model(
        ARCHITECTURE, in_chans=len(BANDS), num_classes=len(CLASSES), **settings
    )
    return TrainedModel(built.classifier, card, recipe), bare.eval()


def batches_of(tiles: int, width: int) -> list[int]:
    """Sizes of the batches that prediction makes of so many tiles, four tile rows a unit."""
    unit = max(4, -(-256 // (-(-width // TILE)))) * -(-width // TILE)
    sizes = []
    while tiles:
        here = min(unit, tiles)
        sizes += [BATCH] * (here // BATCH) + [here % BATCH] * bool(here % BATCH)
        tiles -= here
    return sizes


@torch.inference_mode()
def forward(model: torch.nn.Module, sizes: list[int]) -> int:
    images = torch.randn(BATCH, len(BANDS), TILE, TILE)
    for size in sizes:
        model(images[:size])
    return sum(sizes)


def timed(run: Callable[[], int]) -> Spent:
    started, processor = time.perf_counter(), time.process_time()
    result = run()
    return Spent(time.perf_counter() - started, time.process_time() - processor, result)


def summary(spent: list[Spent], pixels: int) -> dict[str, float]:
    """Medians over the rounds."""
    return {
        "pixels_per_second": round(pixels / median(spent, "seconds")),
        "processor_seconds": round(median(spent, "processor_seconds"), 2),
    }


def ratio(bare: list[Spent], ours: list[Spent], field: str) -> float:
    """Median over rounds of the bare model's time by that of prediction."""
    pairs = zip(bare, ours, strict=True)
    return round(statistics.median(getattr(b, field) / getattr(o, field) for b, o in pairs), 3)


def median(spent: list[Spent], field: str) -> float:
    return statistics.median(getattr(entry, field) for entry in spent)


if __name__ == "__main__":
    main()
