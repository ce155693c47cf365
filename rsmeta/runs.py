"""The run folder: what `finetune` writes and `predict` reads."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from rsmeta import __version__
from rsmeta.data.band_table import band_frame
from rsmeta.data.datamodule import resize
from rsmeta.data.inspection import InspectedData
from rsmeta.data.units import convert_units
from rsmeta.errors import RunError
from rsmeta.longtail.metrics import Metrics
from rsmeta.model_card import ModelCard, current_versions
from rsmeta.models.classifier import ChipClassifier, build_classifier
from rsmeta.models.fixed_groups import group_size, in_groups
from rsmeta.models.single_threaded import SingleThreaded
from rsmeta.models.weights import tensor_digest
from rsmeta.peft.merging import merge
from rsmeta.peft.plan_table import plan_frame
from rsmeta.peft.sites import AnySite, Part, PlannedSite
from rsmeta.recipe import Precision, Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.train.records import EpochRecord

RECIPE, MODEL, HISTORY = "recipe.yaml", "model.safetensors", "history.csv"
_DIGEST = "tensors_sha256"


# --- writing --------------------------------------------------------------------------------------


def write_model(folder: Path, classifier: ChipClassifier, card: ModelCard) -> None:
    """Write adapters, head and modulators with the model card; equal models give equal bytes."""
    state = {name: tensor.contiguous() for name, tensor in classifier.trained_state().items()}
    about = json.loads(card.to_json()) | {_DIGEST: tensor_digest(state)}
    # One entry alone: safetensors writes several in random order. Through bytes: its own writing of
    # files hides why the system refused.
    text = json.dumps(about, ensure_ascii=False)
    (folder / MODEL).write_bytes(save(state, metadata={"rsmeta": text}))


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the resolved recipe; paths become absolute, so that it can be run from anywhere."""
    text = yaml.safe_dump(_absolute(recipe.model_dump()), sort_keys=False, allow_unicode=True)
    draft = folder / f".{RECIPE}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(folder / RECIPE)


def _absolute(value: Any) -> Any:
    """Plain values for YAML, with absolute paths."""
    if isinstance(value, dict):
        return {key: _absolute(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    if isinstance(value, Path):
        return str(value.absolute())
    return str(value) if isinstance(value, str) else value


def write_results(folder: Path, metrics: Metrics, trained: Mapping[str, Any]) -> None:
    """Write `metrics.json`, `per_class.csv` and `confusion.csv`.

    Args:
        folder: Run folder.
        metrics: Test results.
        trained: Further entries of `metrics.json`.
    """
    groups: dict[str, list[str]] = {}
    for entry in metrics.classes:
        groups.setdefault(entry.group.value, []).append(entry.name)
    counts = {entry.name: entry.train_chips for entry in metrics.classes}
    values: dict[str, Any] = {"accuracy": metrics.summary(), "groups": groups}
    values |= {"train_counts": counts, "imbalance_factor": metrics.imbalance_factor}
    write_json(folder / "metrics.json", values | dict(trained))
    rows = [asdict(entry) | {"group": entry.group.value} for entry in metrics.classes]
    _write_table(folder / "per_class.csv", pd.DataFrame(rows).rename(columns={"name": "class"}))
    _write_table(folder / "confusion.csv", confusion_frame(metrics))


def confusion_frame(metrics: Metrics) -> pd.DataFrame:
    """Column `true class`, then the test chips of each predicted class."""
    names = [entry.name for entry in metrics.classes]
    table = pd.DataFrame(metrics.confusion, columns=names)
    table.insert(0, "true class", names)
    return table


def write_history(folder: Path, history: Sequence[EpochRecord]) -> None:
    """Write `history.csv`, one row an epoch."""
    _write_table(folder / HISTORY, pd.DataFrame([record.row() for record in history]))


def write_inspection(folder: Path, inspected: InspectedData) -> None:
    """Write `bands.csv`, what the training chips hold, and `skipped.csv` where chips were skipped.

    Args:
        folder: Run folder.
        inspected: The run's chips.
    """
    _write_table(folder / "bands.csv", band_frame(inspected.bands))
    if inspected.skipped:
        rows = [
            {"path": p.chip, "split": p.split, "label": p.label, "reason": p.reason}
            for p in inspected.skipped
        ]
        _write_table(folder / "skipped.csv", pd.DataFrame(rows))


def write_modulators(
    folder: Path,
    plan: Sequence[PlannedSite],
    classifier: ChipClassifier,
    contributions: Mapping[AnySite, float],
) -> None:
    """Write `modulators.csv`: each site of the plan with its gamma; no rows where none has one.

    Args:
        folder: Run folder.
        plan: What was put where.
        classifier: The trained model.
        contributions: Of each site, see `rsmeta.models.contribution`.
    """
    bank = classifier.modulators
    gamma = {} if bank is None else bank.values()
    rows = [
        {
            "block": line.site.block,
            "position": str(line.site.position),
            "method": line.method,
            "rank": line.rank,
            "parameters": line.parameters,
            "gamma": gamma[line.site],
            "contribution": contributions[line.site],
        }
        for line in plan
        if not isinstance(line.site, Part)
    ]
    columns = ["block", "position", "method", "rank", "parameters", "gamma", "contribution"]
    _write_table(folder / "modulators.csv", pd.DataFrame(rows, columns=columns))


def write_plan(folder: Path, plan: Sequence[PlannedSite]) -> None:
    """Write `plan.csv`: what is put where, with its trainable parameters."""
    _write_table(folder / "plan.csv", plan_frame(plan))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON that a person can read."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_table(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


# --- reading --------------------------------------------------------------------------------------


class TrainedModel:
    """A trained classifier with its card; classifies tiles of scenes.

    Args:
        classifier: The model, with its trained state.
        card: Its card.
        recipe: Its recipe.
    """

    def __init__(self, classifier: ChipClassifier, card: ModelCard, recipe: Recipe) -> None:
        self.classifier = classifier.eval()
        self.card = card
        self.recipe = recipe
        self._single_threaded = SingleThreaded()
        self._compiled: Callable[[Tensor], Tensor] | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in the order of the tiles."""
        return self.card.bands

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.card.classes

    @property
    def tile_size(self) -> int:
        """Side of a tile in pixels."""
        return self.card.tile_size

    @property
    def tile_sizes(self) -> range:
        """Sides of tiles, in pixels: up to eight times smaller or larger than training chips."""
        return range(max(1, self.tile_size // 8), 8 * self.tile_size + 1)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all that its probabilities depend on."""
        settings = self.recipe.data.units, self.recipe.backbone.image_size, self.recipe.compute
        known = self.card.to_json(), settings, current_versions(), self.compiled
        found = hashlib.sha256(repr(known).encode())
        for name, tensor in self.classifier.state_dict().items():
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()

    @property
    def fill(self) -> NDArray[np.float32]:
        """Mean of each band, put where a pixel has no data."""
        return np.array(self.card.statistics.mean, dtype=np.float32)

    @property
    def concurrency(self) -> int:
        """Threads that may ask for probabilities at a time: as PyTorch has on a CPU."""
        return self._single_threaded.threads if self._device.type == "cpu" else 1

    def convert(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn what scenes hold, (bands, height, width), into the units of the training chips."""
        return convert_units(values, self.recipe.data.units)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Map images (n, bands, height, width) in physical units to logits (n, classes)."""
        return self._computed(self.classifier, images)

    @torch.inference_mode()
    def features(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map tiles (n, bands, height, width) to what the head reads, (n, width)."""
        found = self._computed(self.classifier.features, torch.from_numpy(tiles))
        return found.float().cpu().numpy()

    @torch.inference_mode()
    def probabilities(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map tiles (n, bands, height, width) to calibrated class probabilities (n, classes).

        On a CPU each call takes one core, see `concurrency`.
        """
        alone = self._single_threaded if self._device.type == "cpu" else nullcontext()
        with alone:
            images = torch.from_numpy(tiles)
            model = self.classifier if self._compiled is None else self._compiled
            logits = self._computed(model, images).float()
            return (logits / self.card.temperature).softmax(dim=-1).cpu().numpy()

    @property
    def compiled(self) -> bool:
        """Whether `torch.compile` makes the code for `probabilities`."""
        return self._compiled is not None

    def compile(self) -> None:
        """Let `torch.compile` make the code for `probabilities`; its last bits may differ.

        Raises:
            torch._dynamo.exc.TorchDynamoException: With the first batch: it cannot.
        """
        self.__dict__.pop("fingerprint", None)
        self._compiled = torch.compile(self.classifier)

    @property
    def _device(self) -> torch.device:
        return next(self.classifier.parameters()).device

    def _computed(self, part: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Resize images and apply a part of the model; on a CPU no bit depends on how many."""
        size = self.recipe.backbone.image_size
        images = images.to(self._device)
        if self._device.type != "cpu":
            return part(resize(images, size))
        group = group_size(self.classifier.backbone.patch_embed.num_patches)
        return in_groups(lambda chosen: part(resize(chosen, size)), images, group)


def load_run(
    path: Path, *, merged: bool = False, precision: Precision | None = None
) -> TrainedModel:
    """Load the model of a run folder.

    Args:
        path: The run folder.
        merged: Whether to fold what can be folded into the weights of the backbone, see
            `rsmeta.peft.merging`: the same outputs but for rounding, at the cost of the backbone.
        precision: Compute in this precision instead of the recipe's; the model's recipe says it.

    Raises:
        RunError: The folder is missing or incomplete, or its parts do not fit each other.
    """
    require_files(path, RECIPE, MODEL)
    recipe = read_recipe(Recipe, path / RECIPE)
    card, state = read_model(path / MODEL)
    _require_version(path, card.versions)
    bands = recipe.data.selected_bands
    if tuple(band.name for band in bands) != card.bands:
        raise RunError(f"run '{path}': {RECIPE} and {MODEL} name different bands")
    compute = recipe.compute
    if precision is not None:
        compute = compute.model_copy(update={"precision": precision})
    used = recipe.model_copy(update={"compute": compute})
    built = build_classifier(used, bands, len(card.classes), card.statistics, card.sites)
    if built.backbone_sha256 != card.backbone_sha256:
        raise RunError(
            f"run '{path}' was trained on other weights of '{card.backbone}' (sha256 "
            f"{card.backbone_sha256[:12]}, found {built.backbone_sha256[:12]}); restore that file"
        )
    expected = {name: tensor.shape for name, tensor in built.classifier.trained_state().items()}
    if {name: tensor.shape for name, tensor in state.items()} != expected:
        raise RunError(f"run '{path}': {MODEL} does not hold the tensors that {RECIPE} describes")
    built.classifier.load_state_dict(state, strict=False)
    if merged:
        merge(built.classifier.backbone)
    built.classifier.store_frozen_low()
    return TrainedModel(built.classifier, card, used)


def require_files(run: Path, *names: str) -> None:
    """Check that a run folder is there and has files of these names.

    Raises:
        RunError: The folder or a file is missing.
    """
    if not run.is_dir():
        raise RunError(f"run '{run}' does not exist; make one with: rsmeta finetune RECIPE")
    for name in names:
        if not (run / name).is_file():
            raise RunError(f"run '{run}' lacks {name}; it is not a complete run folder")


def read_card(run: Path) -> ModelCard:
    """Read the card of a run's model without building the model.

    Raises:
        RunError: The run or its model is missing, or the model is damaged.
    """
    require_files(run, MODEL)
    return read_model(run / MODEL)[0]


def read_model(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """Read the card and the trained state of `model.safetensors` without building the model.

    Raises:
        RunError: The file is damaged or no model of rsmeta.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            text = (stored.metadata() or {})["rsmeta"]
        card, state = ModelCard.from_json(text), load_file(path)
        digest = json.loads(text).get(_DIGEST)  # models of earlier versions have none
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunError(f"'{path}' is damaged or not a model of rsmeta: {error}") from error
    if digest is not None and digest != tensor_digest(state):
        raise RunError(
            f"'{path}' is damaged: its tensors are not those that were written; restore the file "
            "or make the run again: rsmeta finetune"
        )
    return card, state


def _require_version(run: Path, versions: Mapping[str, str]) -> None:
    """Refuse runs of later versions, which may mean other things by the same names.

    Raises:
        RunError: The run is of a later one.
    """
    made = versions.get("rsmeta", "0.0")
    numbers = [re.match(r"(\d{1,6})\.(\d{1,6})", version) for version in (made, __version__)]
    parts = [tuple(map(int, n.groups())) if n is not None else None for n in numbers]
    if parts[0] is None or parts[1] is None or parts[0] > parts[1]:
        raise RunError(
            f"run '{run}' was made by rsmeta {made}, this is {__version__}; install that version "
            "or a later one"
        )
