"""Time training steps, prediction and whole runs against Hugging Face peft and the bare backbone.

    python benchmarks/training_speed.py

ViT-S/14 at 70 px with random weights, batches of 32, rank 8 at six positions of every block. Every
variant is a process of its own; they take turns of a few steps, so that a slow spell of the machine
meets all of them, and every round begins with new processes, because one and the same model runs up
to a tenth faster or slower depending on where a process has its memory. The variants of prediction,
where a hundredth counts, share a process for that reason. The medians of all turns are compared.
Needs the extra `peft`.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from rsmeta.bands import sensor
from rsmeta.data.statistics import BandStatistics
from rsmeta.model_card import current_versions
from rsmeta.models.classifier import ChipClassifier, build_classifier
from rsmeta.models.heads import CosineHead
from rsmeta.peft.merging import merge
from rsmeta.recipe import Recipe

RESULTS = Path(__file__).parent / "results" / "training_speed.json"
ARCHITECTURE = "vit_small_patch14_dinov2"
SIZE, BATCH, CLASSES, RANK = 70, 32, 10, 8
WARM_UP, STEPS, ROUNDS = 2, 3, 7
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


Turn = Callable[[], dict[str, float]]


def turn_of(step: Callable[[], object]) -> Turn:
    """A turn of some steps after a warm-up; its result is the median second of a step."""
    for _ in range(WARM_UP):
        step()

    def turn() -> dict[str, float]:
        seconds = []
        for _ in range(STEPS):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        return {"seconds": statistics.median(seconds)}

    return turn


def training(name: str, weights: Path, precision: str) -> Turn:
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

    turn, parameters = turn_of(step), sum(p.numel() for p in trained)
    return lambda: turn() | {"megabytes": peak_megabytes() - before, "parameters": parameters}


def prediction(name: str, weights: Path, precision: str) -> Turn:
    torch.manual_seed(0)
    method = {"method": "linear_probe"} if name == "bare backbone" else {}
    moments = BandStatistics(mean=(0.0,) * 3, std=(1.0,) * 3)
    wanted = recipe(weights, precision, peft=method)
    model = build_classifier(wanted, sensor("rgb").bands, CLASSES, moments).classifier.eval()
    if name == "merged":
        merge(model.backbone)
    model.store_frozen_low()
    images = torch.randn(BATCH, 3, SIZE, SIZE)
    return turn_of(torch.inference_mode()(lambda: model(images)))


def whole_run(name: str, weights: Path, precision: str) -> Turn:
    """A turn is a whole run by the public function; seconds per inner step."""
    from rsmeta.data.datamodule import ChipDataModule
    from rsmeta.data.sources import load_data
    from rsmeta.finetuning import finetune

    def turn() -> dict[str, float]:
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
            batches = len(ChipDataModule(wanted, data, moments).train_dataloader())
            run = finetune(wanted).folder
            seconds = json.loads((run / "resources.json").read_text())["training_seconds"]
        return {"seconds": seconds / (batches * wanted.inner.epochs)}

    return turn


@dataclass(frozen=True)
class Section:
    """What is timed, prepared by which function."""

    prepare: Callable[[str, Path, str], Turn]
    variants: tuple[str, ...]
    precisions: tuple[str, ...] = ("bfloat16", "float32")
    turns: int = 3
    processes: Literal["one a variant", "one for all"] = "one a variant"


SECTIONS = {
    "training step": Section(
        training, ("frozen backbone", "rsmeta", "peft", "peft, same rank a position")
    ),
    "trained blocks": Section(
        training,
        ("rsmeta, last 12", "rsmeta, last 6", "rsmeta, last 2", "rsmeta, last 2, cached features"),
        ("float32",),
    ),
    "prediction": Section(
        prediction, ("bare backbone", "merged", "not merged"), turns=7, processes="one for all"
    ),
    "whole run, by inner step": Section(whole_run, ("fixed", "MetaPEFT"), ("float32",), turns=1),
}


@cache
def prepared(section: str, name: str, weights: Path, precision: str) -> Turn:
    return SECTIONS[section].prepare(name, weights, precision)


def take_turn(section: str, name: str, weights: Path, precision: str) -> dict[str, float]:
    """One turn of a variant, in the process kept for it."""
    return prepared(section, name, weights, precision)()


def measure(section: str, precision: str, weights: Path, rounds: int) -> list[dict[str, object]]:
    """Every variant of a section in one precision, taking turns."""
    wanted = SECTIONS[section]
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in wanted.variants}
    for number in range(rounds):
        with ExitStack() as stack:
            count = len(measured) if wanted.processes == "one a variant" else 1
            pools = [ProcessPoolExecutor(1, get_context("spawn")) for _ in range(count)]
            processes = [stack.enter_context(pool) for pool in pools]
            for _ in range(wanted.turns):
                for name, process in zip(measured, cycle(processes), strict=False):
                    turn = process.submit(take_turn, section, name, weights, precision)
                    measured[name].append(turn.result())
        print(section, precision, "round", number + 1, flush=True)
    return [
        {"precision": precision, "variant": name}
        | {key: statistics.median(one[key] for one in turns) for key in turns[0]}
        | {"all_seconds": [round(one["seconds"], 5) for one in turns]}
        for name, turns in measured.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    arguments = parser.parse_args()
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        torch.manual_seed(0)
        save_file(timm.create_model(ARCHITECTURE, num_classes=0).state_dict(), weights)
        for section in arguments.sections:
            result[section] = [
                row
                for precision in SECTIONS[section].precisions
                for row in measure(section, precision, weights, arguments.rounds)
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
