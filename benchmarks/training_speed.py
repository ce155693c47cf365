"""Time training steps, prediction and whole runs against Hugging Face peft and the bare backbone.

    python benchmarks/training_speed.py

ViT-S/14 at 70 px with random weights, batches of 32, rank 8 at six positions of every block. Every
measurement is a process of its own; all variants take turns, so that a slow spell of the machine
meets all of them; the medians of the rounds are compared. Needs the extra `peft`.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from rsmeta.bands import sensor
from rsmeta.data.statistics import BandStatistics
from rsmeta.models.classifier import ChipClassifier, build_classifier
from rsmeta.models.heads import CosineHead
from rsmeta.peft.merging import merge
from rsmeta.recipe import Recipe
from rsmeta.runs import current_versions

RESULTS = Path(__file__).parent / "results" / "training_speed.json"
ARCHITECTURE = "vit_small_patch14_dinov2"
SIZE, BATCH, CLASSES, RANK = 70, 32, 10, 8
WARM_UP, STEPS, PREDICTION_STEPS = 2, 5, 10
LINEAR = r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"


def recipe(weights: Path, precision: str, **sections: object) -> Recipe:
    backbone = {"name": f"timm:{ARCHITECTURE}", "file": weights, "image_size": SIZE}
    values = {"name": "speed", "data": {"source": "simulator"}, "backbone": backbone}
    return Recipe.model_validate(values | {"compute": {"precision": precision}} | sections)


def classifier(weights: Path, precision: str, **peft: object) -> ChipClassifier:
    moments = BandStatistics(mean=(0.0,) * 3, std=(1.0,) * 3)
    wanted = recipe(weights, precision, peft=peft)
    model = build_classifier(wanted, sensor("rgb").bands, CLASSES, moments).classifier
    model.store_frozen_low()
    return model


def hugging_face(model: ChipClassifier, ranks: dict[str, int]) -> None:
    """Put the LoRA of Hugging Face peft into a classifier; the rest stays the same."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=RANK, lora_alpha=RANK, target_modules=LINEAR, rank_pattern=ranks, alpha_pattern=ranks
    )
    get_peft_model(model.backbone, config)


def variant(name: str, weights: Path, precision: str) -> ChipClassifier:
    if name == "frozen backbone":
        model = classifier(weights, precision, method="linear_probe")
        model.backbone.pos_embed.requires_grad_(True)  # a gradient down to the first block
    elif name.startswith("peft"):
        model = classifier(weights, precision, method="linear_probe")
        hugging_face(model, {"qkv": 3 * RANK} if name == "peft, same rank a position" else {})
    elif name.startswith("rsmeta, last"):
        last = name.removeprefix("rsmeta, last ").partition(",")[0]
        model = classifier(weights, precision, blocks=f"last:{last}")
    else:
        model = classifier(weights, precision)
    return model


def resident_megabytes() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def median_seconds(step: Callable[[], object], steps: int) -> float:
    seconds = []
    for number in range(WARM_UP + steps):
        started = time.perf_counter()
        step()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def time_training(name: str, weights: Path, precision: str) -> dict[str, float]:
    torch.manual_seed(0)
    model = variant(name, weights, precision)
    model.head = CosineHead(model.backbone.num_features, CLASSES, 30.0)
    trained = [p for p in model.parameters() if p.requires_grad]
    trained = [p for p in trained if model.modulators is None or p is not model.modulators.rho]
    optimiser = torch.optim.SGD(trained, lr=1e-3, momentum=0.9, weight_decay=5e-4)
    images, labels = torch.randn(BATCH, 3, SIZE, SIZE), torch.randint(CLASSES, (BATCH,))
    # The bare backbone and peft run as timm has them, without this project's choice of kernels.
    stock = name == "frozen backbone" or name.startswith("peft")
    cached = name.endswith("cached features")
    if cached:
        with torch.no_grad():
            images = model.frozen_tokens(images)
    before = resident_megabytes()

    low = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    constant = nullcontext if model.modulators is None else model.modulators.constant

    def logits() -> torch.Tensor:
        if not stock:
            return model(images, cached)
        with low:
            features = model.backbone(images)
        return model.head(features)

    def step() -> None:
        optimiser.zero_grad()
        with constant():
            F.cross_entropy(logits(), labels).backward(inputs=trained)
        optimiser.step()

    seconds = median_seconds(step, STEPS)
    parameters = sum(p.numel() for p in trained)
    return {"seconds": seconds, "megabytes": peak_megabytes() - before, "parameters": parameters}


@torch.inference_mode()
def time_prediction(name: str, weights: Path, precision: str) -> dict[str, float]:
    torch.manual_seed(0)
    method = {"method": "linear_probe"} if name == "bare backbone" else {}
    moments = BandStatistics(mean=(0.0,) * 3, std=(1.0,) * 3)
    wanted = recipe(weights, precision, peft=method)
    model = build_classifier(wanted, sensor("rgb").bands, CLASSES, moments).classifier.eval()
    if name == "merged":
        merge(model.backbone)
    model.store_frozen_low()
    images = torch.randn(BATCH, 3, SIZE, SIZE)
    return {"seconds": median_seconds(lambda: model(images), PREDICTION_STEPS)}


def time_run(name: str, weights: Path, precision: str) -> dict[str, float]:
    """A whole run by the public function; seconds per inner step."""
    from rsmeta.data.datamodule import ChipDataModule
    from rsmeta.data.sources import load_data
    from rsmeta.finetuning import finetune

    with tempfile.TemporaryDirectory() as folder:
        wanted = recipe(
            weights,
            precision,
            runs=folder,
            peft={"modulators": "learned" if name == "MetaPEFT" else "fixed"},
            inner={"epochs": 2, "batch_size": BATCH},
            data={"source": "simulator", "largest_class": 120, "test_per_class": 1},
        )
        data = load_data(wanted)
        moments = BandStatistics(mean=(0.0,) * 2, std=(1.0,) * 2)
        steps = len(ChipDataModule(wanted, data, moments).train_dataloader()) * wanted.inner.epochs
        run = finetune(wanted).folder
        seconds = json.loads((run / "resources.json").read_text())["training_seconds"]
    return {"seconds": seconds / steps}


@dataclass(frozen=True)
class Section:
    """What is timed by which function."""

    time: Callable[[str, Path, str], dict[str, float]]
    variants: tuple[str, ...]
    precisions: tuple[str, ...] = ("bfloat16", "float32")


SECTIONS = {
    "training step": Section(
        time_training, ("frozen backbone", "rsmeta", "peft", "peft, same rank a position")
    ),
    "trained blocks": Section(
        time_training,
        ("rsmeta, last 12", "rsmeta, last 6", "rsmeta, last 2", "rsmeta, last 2, cached features"),
        ("float32",),
    ),
    "prediction": Section(time_prediction, ("bare backbone", "merged", "not merged")),
    "whole run, by inner step": Section(time_run, ("fixed", "MetaPEFT"), ("float32",)),
}


def measure(section: str, name: str, weights: Path, precision: str) -> dict[str, float]:
    arguments = [section, name, str(weights), precision]
    command = [sys.executable, __file__, "--one", *arguments]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        section, name, weights, precision = arguments.one
        print(json.dumps(SECTIONS[section].time(name, Path(weights), precision)))
        return
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        torch.manual_seed(0)
        save_file(timm.create_model(ARCHITECTURE, num_classes=0).state_dict(), weights)
        for section in arguments.sections:
            wanted = SECTIONS[section]
            variants = [(p, name) for p in wanted.precisions for name in wanted.variants]
            rounds: dict[tuple[str, str], list[dict[str, float]]] = {v: [] for v in variants}
            for number in range(arguments.rounds):
                for precision, name in variants:
                    rounds[precision, name].append(measure(section, name, weights, precision))
                print(section, "round", number + 1, flush=True)
            result[section] = [
                {"precision": precision, "variant": name}
                | {key: statistics.median(one[key] for one in measured) for key in measured[0]}
                | {"all_seconds": [round(one["seconds"], 5) for one in measured]}
                for (precision, name), measured in rounds.items()
            ]
            result["machine"] = {
                "processor": _processor(),
                "cores": os.cpu_count(),
                **current_versions(),
                "peft": version("peft"),
            }
            RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
