"""torch.compile for prediction where it is faster on this machine: measured once and remembered."""

import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch._dynamo.exc import TorchDynamoException

from rsmeta.errors import EngineError
from rsmeta.runs import TrainedModel

_LOGGER = logging.getLogger(__name__)

_BATCH, _REPEATS = 32, 5
_ENOUGH = 0.97


@dataclass(frozen=True)
class BatchSeconds:
    """Medians for one batch.

    Attributes:
        plain: Seconds of the model as it is.
        compiled: Seconds after `torch.compile`.
    """

    plain: float
    compiled: float

    @property
    def pays(self) -> bool:
        """Whether the compiled model is faster by more than chance."""
        return self.compiled < _ENOUGH * self.plain


def compile_if_faster(model: TrainedModel, memory: Path | None = None) -> BatchSeconds:
    """Compile a model where that makes it faster; it takes one to two minutes the first time.

    What was measured is kept by architecture, method, bands, size, precision, machine and version
    of PyTorch, whose own cache keeps the compiled code.

    Args:
        model: The model; changed in place.
        memory: File of the measurements; None for `rsmeta/compiled.json` in the user's cache.

    Returns:
        What was measured, now or before.

    Raises:
        EngineError: The model cannot be compiled here, for lack of a C++ compiler for example, or
            the file cannot be written.
    """
    memory = _default_memory() if memory is None else memory
    key = _key(model)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{memory}.lock"):
            known = _read(memory)
            if key not in known:
                known[key] = _measure(model)
                values = {name: asdict(seconds) for name, seconds in known.items()}
                memory.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise EngineError(
            f"'{memory}', which remembers whether --compile pays, cannot be written: "
            f"{error.strerror}; set XDG_CACHE_HOME to a folder that can, or leave out --compile"
        ) from error
    found = known[key]
    if found.pays:
        model.compile()
    _LOGGER.info(
        "torch.compile: %.3g s a batch instead of %.3g s; %s",
        found.compiled,
        found.plain,
        "used" if found.pays else "not used",
    )
    return found


def _measure(model: TrainedModel) -> BatchSeconds:
    plain = _seconds(model)
    compiled = TrainedModel(model.classifier, model.card, model.recipe)
    compiled.compile()
    try:
        return BatchSeconds(plain, _seconds(compiled))
    except TorchDynamoException as error:
        reason = str(error).strip().splitlines()[0]
        raise EngineError(
            f"the model cannot be compiled on this machine: {reason}; leave out --compile"
        ) from error


def _seconds(model: TrainedModel) -> float:
    side = model.tile_size
    tiles = np.zeros((_BATCH, len(model.bands), side, side), dtype=np.float32)
    model.probabilities(tiles)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        model.probabilities(tiles)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _default_memory() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "rsmeta" / "compiled.json"


def _key(model: TrainedModel) -> str:
    size = model.recipe.backbone.image_size
    precision = model.recipe.compute.precision
    device = platform.processor() or platform.machine()
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    method = model.recipe.peft.method
    parts = (model.card.backbone, method, f"{len(model.bands)} bands", f"{size} px", precision)
    return ", ".join((*parts, device, f"torch {torch.__version__}"))


def _read(memory: Path) -> dict[str, BatchSeconds]:
    """What was measured before; nothing where the file is missing or damaged."""
    try:
        values: Mapping[str, Mapping[str, float]] = json.loads(memory.read_text(encoding="utf-8"))
        return {
            name: BatchSeconds(float(seconds["plain"]), float(seconds["compiled"]))
            for name, seconds in values.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
