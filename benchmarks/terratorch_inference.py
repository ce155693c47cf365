"""The same constant 1 x 1 convolution over a scene by rsmeta and by TerraTorch's tiled inference.

    python benchmarks/terratorch_inference.py

A scene of 4096 x 4096 pixels and 4 bands (uint16, tiled, deflate), tiles of 224 px at a stride of
192 px in batches of 16, ten classes, from the file to a class map in a GeoTIFF. TerraTorch is
installed by this script alone, into an environment of its own. All take turns, each time in a new
process; peak memory is counted over that after the imports and a first batch. What they do is not
the same: rsmeta classifies tiles (the mean of the convolution over a tile) and blends them on cells
that tile borders make, here of 32 px, TerraTorch blends the convolution pixel by pixel. With a
stride of 191 px the cells of rsmeta are single pixels too, and it blends as many numbers.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.transform import from_origin

RESULTS = Path(__file__).parent / "results" / "terratorch_inference.json"
ENVIRONMENT = Path(tempfile.gettempdir()) / "rsmeta-terratorch"
TERRATORCH = "1.2.11"
BANDS, CLASSES, TILE, STRIDE, BATCH = 4, 10, 224, 192, 16
STRIDE_OF_PIXEL_CELLS = 191
EXPECTED = 3


def convolution() -> torch.nn.Conv2d:
    """Gives every pixel the same logits; the fourth class is the most likely one."""
    layer = torch.nn.Conv2d(BANDS, CLASSES, 1)
    torch.nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(-(torch.arange(CLASSES) - EXPECTED).abs().float())
    return layer.eval()


class TileModel:
    """The convolution as a classifier of tiles."""

    bands = tuple(f"B{number}" for number in range(1, BANDS + 1))
    classes = tuple(f"class {number}" for number in range(CLASSES))
    tile_size = TILE
    tile_sizes = range(TILE, TILE + 1)
    concurrency = 1
    fingerprint = "constant convolution"
    fill = np.zeros(BANDS, dtype=np.float32)

    def __init__(self, layer: torch.nn.Conv2d) -> None:
        self._layer = layer

    def convert(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values

    @torch.inference_mode()
    def probabilities(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: torch.Tensor = self._layer(torch.from_numpy(tiles)).mean(dim=(2, 3))
        return logits.softmax(dim=1).numpy()


def by_rsmeta(scene: Path, out: Path, layer: torch.nn.Conv2d, stride: int = STRIDE) -> None:
    from rsmeta.scenes import Product, ProductOptions, predict_scene

    only = ProductOptions(frozenset({Product.CLASSES}))
    model = TileModel(layer)
    done = predict_scene(scene, model, out.parent, stride=stride, batch_size=BATCH, products=only)
    done.classes.replace(out)


@torch.inference_mode()
def by_terratorch(scene: Path, out: Path, layer: torch.nn.Conv2d) -> None:
    from terratorch.tasks.tiled_inference import tiled_inference

    with rasterio.open(scene) as dataset:
        image = torch.from_numpy(dataset.read().astype(np.float32))[None]
        profile = dataset.profile
    logits = tiled_inference(layer, image, crop=TILE, stride=STRIDE, batch_size=BATCH)
    classes = logits.argmax(dim=1)[0].numpy().astype(np.uint8)
    with rasterio.open(out, "w", **profile | {"count": 1, "dtype": "uint8"}) as dataset:
        dataset.write(classes, 1)


RUNS: dict[str, Callable[[Path, Path, torch.nn.Conv2d], None]] = {
    "rsmeta": by_rsmeta,
    "rsmeta, cells of one pixel": partial(by_rsmeta, stride=STRIDE_OF_PIXEL_CELLS),
    "terratorch": by_terratorch,
}


def child(side: str, scene: Path) -> None:
    """Measure one of the two in this process; prints JSON."""
    layer = convolution()
    with torch.inference_mode():
        layer(torch.zeros(BATCH, BANDS, TILE, TILE))
    import_module("terratorch.tasks.tiled_inference" if side == "terratorch" else "rsmeta.scenes")
    out = scene.parent / side / "map.tif"
    out.parent.mkdir(exist_ok=True)
    loaded = resident_megabytes()
    Path("/proc/self/clear_refs").write_text("5")  # the kernel counts the peak from now on
    started = time.perf_counter()
    processor = time.process_time()
    RUNS[side](scene, out, layer)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    peak = peak_megabytes()
    with rasterio.open(out) as dataset:
        wrong = int((dataset.read(1) != EXPECTED).sum())
    print(
        json.dumps(
            {
                "seconds": seconds,
                "processor_seconds": processor,
                "peak_megabytes": peak - loaded,
                "wrong_pixels": wrong,
                "threads": torch.get_num_threads(),
                "torch": version("torch"),
            }
        )
    )


def resident_megabytes() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


def peak_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 2**10


def write_scene(path: Path, size: int) -> None:
    values = np.random.default_rng(0).integers(0, 5000, (BANDS, size, size)).astype(np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", height=size, width=size, count=BANDS, dtype="uint16",
        tiled=True, blockxsize=512, blockysize=512, compress="deflate", interleave="pixel",
        crs="EPSG:32631", transform=from_origin(500_000, 5_700_000, 10, 10),
    ) as dataset:  # fmt: skip
        dataset.descriptions = TileModel.bands
        dataset.write(values)


def terratorch_python(environment: Path) -> Path:
    """Python of an environment with TerraTorch, and with this one's torch."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
    same = [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "torchvision")]
    wanted = [f"terratorch=={TERRATORCH}", *same]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def measure(python: Path, side: str, scene: Path) -> dict[str, Any]:
    command = [python, __file__, "--child", side, "--scene", scene]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT)
    parser.add_argument("--child", choices=RUNS, help="For this script's own use.")
    parser.add_argument("--scene", type=Path, help="For this script's own use.")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.scene)
        return
    pythons = dict.fromkeys(RUNS, Path(sys.executable))
    pythons["terratorch"] = terratorch_python(arguments.environment)
    rows: dict[str, list[dict[str, Any]]] = {side: [] for side in RUNS}
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.tif"
        write_scene(scene, arguments.size)
        for _ in range(arguments.rounds):
            for side in RUNS:
                rows[side].append(measure(pythons[side], side, scene))
                print(side, rows[side][-1])
    result = {
        "size": arguments.size,
        "bands": BANDS,
        "tile": TILE,
        "stride": STRIDE,
        "rounds": arguments.rounds,
        "cores": os.cpu_count(),
        "load_of_the_machine_at_the_end": round(os.getloadavg()[0], 1),
        **{side: medians(rows[side]) for side in RUNS},
        "terratorch_version": TERRATORCH,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def medians(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of what was measured; what is the same every time as it is."""
    measured = ("seconds", "processor_seconds", "peak_megabytes")
    found = {name: round(statistics.median(row[name] for row in rows), 1) for name in measured}
    return found | {name: rows[0][name] for name in ("wrong_pixels", "threads", "torch")}


if __name__ == "__main__":
    main()
