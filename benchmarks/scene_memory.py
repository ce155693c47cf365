"""Memory of scene prediction over that of a loaded stub model, for sizes and block layouts.

    python benchmarks/scene_memory.py

Tiles of 224 px at a stride of 112 px and ten classes; maps at the resolution of cells, whose
compression does not hide the time of the rest, and once at that of pixels. Scenes are nearly
constant, so that they take little disk. Each is predicted in a process of its own.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

RESULTS = Path(__file__).parent / "results"
CLASSES = tuple(f"class {index}" for index in range(10))
BANDS = tuple(f"B{index}" for index in range(1, 5))
LAYOUTS = {
    "tiled": {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"},
    "stripped": {"blockysize": 16, "compress": "deflate"},
    "one huge uncompressed strip": {"sparse_ok": True},
}


class Stub:
    """A 1 x 1 convolution and a mean over the tile."""

    bands = BANDS
    classes = CLASSES
    tile_size = 224
    tile_sizes = range(224, 225)
    concurrency = 1
    fingerprint = "stub"
    fill = np.zeros(len(BANDS), dtype=np.float32)

    def convert(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values

    def probabilities(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        weights = np.random.default_rng(0).normal(size=(len(BANDS), len(CLASSES)))
        logits = tiles[:, :, ::16, ::16].mean(axis=(2, 3)) @ weights.astype(np.float32)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Case:
    height: int
    width: int
    layout: str
    resolution: str


CASES = (
    Case(4096, 4096, "tiled", "pixel"),
    Case(10_980, 10_980, "tiled", "cell"),
    Case(10_980, 10_980, "stripped", "cell"),
    Case(10_980, 10_980, "one huge uncompressed strip", "cell"),
    Case(10_980, 10_980, "tiled", "pixel"),
    Case(40_960, 40_960, "tiled", "cell"),
)


def write_scene(path: Path, case: Case) -> None:
    options = LAYOUTS[case.layout]
    if "sparse_ok" in options:
        options = options | {"blockysize": case.height}
    with rasterio.open(
        path, "w", driver="GTiff", height=case.height, width=case.width, count=len(BANDS),
        dtype="uint16", interleave="pixel", bigtiff="if_safer", sparse_ok=True,
        crs="EPSG:32631", transform=rasterio.transform.from_origin(0, 0, 10, 10),
        **{key: value for key, value in options.items() if key != "sparse_ok"},
    ) as dataset:  # fmt: skip
        for index, name in enumerate(BANDS, 1):
            dataset.set_band_description(index, name)
        if case.layout == "one huge uncompressed strip":
            return  # not even written: zeros
        square = np.random.default_rng(0).integers(0, 5000, size=(len(BANDS), 512, 512))
        for y in range(0, case.height, 4096):
            height, width = min(512, case.height - y), min(512, case.width)
            part = square[:, :height, :width].astype(np.uint16)
            dataset.write(part, window=Window(0, y, width, height))


def resident_megabytes() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


def measure(path: Path, case: Case, answer: "multiprocessing.Queue[tuple[float, float]]") -> None:
    from rsmeta.scenes import predict_scene

    warnings.simplefilter("ignore")
    model = Stub()
    model.probabilities(np.zeros((30, len(BANDS), 224, 224), np.float32))
    peak = loaded = resident_megabytes()
    running = True

    def watch() -> None:
        nonlocal peak
        while running:
            peak = max(peak, resident_megabytes())
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    predict_scene(path, model, path.parent / "out", resolution=case.resolution)
    running = False
    watcher.join()
    answer.put((peak - loaded, time.perf_counter() - started))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=int, help="Number of a single case, from 0; prints only.")
    chosen = parser.parse_args().case
    context = multiprocessing.get_context("spawn")
    rows = []
    for case in CASES if chosen is None else CASES[chosen : chosen + 1]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scene.tif"
            write_scene(path, case)
            answer = context.Queue()
            child = context.Process(target=measure, args=(path, case, answer))
            child.start()
            over, seconds = answer.get()
            child.join()
        rows.append(
            {
                "height": case.height,
                "width": case.width,
                "layout": case.layout,
                "resolution": case.resolution,
                "peak_megabytes_over_loaded_model": round(over),
                "seconds": round(seconds, 1),
            }
        )
        print(json.dumps(rows[-1]))
    if chosen is None:
        text = json.dumps(
            {"bands": len(BANDS), "tile": 224, "stride": 112, "cases": rows}, indent=2
        )
        (RESULTS / "scene_memory.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
