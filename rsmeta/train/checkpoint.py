"""The state of a training as one safetensors file: tensors, and all else as JSON in its metadata.

Nothing in the file can run code when it is read, and a file is replaced as a whole: whoever is
killed while writing leaves the one before.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from rsmeta.errors import RunError

CHECKPOINT = "checkpoint.safetensors"

StateDict = dict[str, Any]
"""Nested dictionaries and lists of tensors, numbers, strings and None, as torch's are."""

_TENSOR = "$tensor"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        origin: What the training started from; it can only go on from the same.
        state: Of `FinetuningModule.training_state`.
        seconds: Time that the training took until here.
    """

    origin: Mapping[str, str]
    state: StateDict
    seconds: float


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a file, or leave the one that is there.

    Raises:
        OSError: It cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    values = {
        "origin": dict(checkpoint.origin),
        "seconds": checkpoint.seconds,
        "state": _without_tensors(checkpoint.state, "state", tensors),
    }
    content = save(tensors, metadata={"rsmeta": json.dumps(values)})
    draft = path.with_name(f".{path.name}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            values = json.loads((stored.metadata() or {})["rsmeta"])
        state = _with_tensors(values["state"], load_file(path))
        return Checkpoint(values["origin"], state, values["seconds"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"'{path}' is damaged: {error}; delete it, and the run begins again from the start"
        ) from error


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The value for JSON; its tensors go into a dictionary, by names that the value keeps."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().contiguous()
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        return {str(k): _without_tensors(v, f"{name}.{k}", tensors) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(v, f"{name}.{k}", tensors) for k, v in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        return {key: _with_tensors(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_tensors(item, tensors) for item in value]
    return value
