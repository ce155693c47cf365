"""Predict a simulated scene with the demo's run: agreement with the truth, memory, speed.

    make demo && python benchmarks/scene_prediction.py --size 4096

Peak memory is counted over that of the loaded model, in a process of its own.
"""

import argparse
import json
import resource
import tempfile
from pathlib import Path

import numpy as np

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator.product import write_scene
from rsmeta.model_card import current_versions
from rsmeta.prediction import predict
from rsmeta.runs import load_run
from rsmeta.scenes import agreement

RESULTS = Path(__file__).parent / "results"


def resident_megabytes() -> float:
    """Memory of this process now; the peak would still hold what loading needed."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


def reset_peak() -> None:
    """Make the kernel count the peak from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--run", type=Path, default=Path("runs/latest"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.tif"
        if (child := simulate(scene, arguments.size, arguments.seed)) != 0:
            raise SystemExit(child)
        model = load_run(arguments.run)
        tiles = np.zeros((64, len(model.bands), model.tile_size, model.tile_size), np.float32)
        model.probabilities(tiles)  # the model has what it needs for a batch
        loaded = resident_megabytes()
        reset_peak()
        (prediction,) = predict([scene], arguments.run, Path(folder))
        over = peak_megabytes() - loaded
        found = agreement(prediction.classes, scene.with_name("scene_truth.tif"))
    result = {
        "size": arguments.size,
        "tiles": prediction.tiles,
        "seconds": round(prediction.seconds, 1),
        "tiles_per_second": round(prediction.tiles / prediction.seconds, 1),
        "peak_megabytes_over_loaded_model": round(over),
        "agreement_overall": round(found.overall, 4),
        "agreement_mean_over_classes": round(found.mean_recall, 4),
        "agreement": {name: round(value, 4) for name, value in found.recall.items()},
        "versions": current_versions(),
    }
    text = json.dumps(result, indent=2)
    (RESULTS / "scene_prediction.json").write_text(text + "\n")
    print(text)


def simulate(scene: Path, size: int, seed: int) -> int:
    """Simulate in a child process, whose memory is not counted."""
    import multiprocessing

    arguments = (scene, SimulatedSensor.SAR, size, seed)
    child = multiprocessing.get_context("spawn").Process(target=write_scene, args=arguments)
    child.start()
    child.join()
    return child.exitcode or 0


if __name__ == "__main__":
    main()
