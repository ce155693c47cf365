"""Several processes train as one does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from rsmeta.data import datamodule as datamodules
from rsmeta.data.datamodule import ChipDataModule
from rsmeta.data.sources import load_data
from rsmeta.data.statistics import band_statistics
from rsmeta.finetuning import finetune

TOLERANCE = 1e-5


def chips_of(batches):
    return [chip.numpy().tobytes() for batch in batches for chip in batch["image"]]


@pytest.mark.parametrize("processes", [2, 3])
def test_batches_are_shared_out_without_overlap(tiny_recipe, monkeypatch, processes):
    outer = {"batch_size": 12, "batches": 2, "every": 2}
    recipe = tiny_recipe(inner={"epochs": 2, "batch_size": 6}, outer=outer)
    data = load_data(recipe)
    module = ChipDataModule(recipe, data, band_statistics(data.train, data.bands))
    whole = [list(module.train_dataloader()), module.outer_batches(0, 4)]
    parts = []
    for rank in range(processes):
        monkeypatch.setattr(datamodules, "this_process", lambda rank=rank: (rank, processes))
        parts.append((list(module.train_dataloader()), module.outer_batches(0, 4)))
        assert module.inner_steps() == 2 * len(parts[0][0])
    for loop, batches in enumerate(whole):
        for number, batch in enumerate(batches[: len(parts[0][loop])]):
            together = [chip for part in parts for chip in chips_of([part[loop][number]])]
            left_out = len(batch["label"]) - len(together)
            assert 0 <= left_out < processes
            assert left_out == 0 or number == len(batches) - 1
            alone = chips_of([batch])
            assert sorted(together) == sorted(alone[: len(together)])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"inner": {"batch_size": 9}}, "inner.batch_size 9 cannot be shared out among 4 processes"),
        ({"outer": {"batch_size": 18}}, "outer.batch_size 18 cannot be shared out among 4"),
        ({"outer": {"engine": "unrolled"}}, "the engine unrolled runs on one device"),
        ({"inner": {"loss": {"name": "lade"}}}, "the loss lade compares the chips of a batch"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(tiny_recipe, sections, message):
    distributed = {"compute": {"devices": 2, "num_nodes": 2}, "outer": {"batch_size": 16}}
    with pytest.raises(ValidationError, match=message):
        tiny_recipe(**(distributed | sections))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "launcher"),
    [
        ("first_order", []),
        ("finite_difference", ["-m", "torch.distributed.run", "--nproc_per_node=2"]),
    ],
)
def test_two_processes_end_where_one_does(tiny_recipe, tmp_path, engine, launcher, record_property):
    """Fifty-four steps by gloo on cached tokens; started by Lightning and by torchrun."""
    recipe = tiny_recipe(
        data={"source": "simulator", "largest_class": 8, "imbalance": 1, "test_per_class": 1},
        inner={"epochs": 6, "batch_size": 8},
        outer={"every": 2, "batch_size": 22, "learning_rate": 0.1, "engine": engine},
        peft={"rank": 2, "blocks": "last:2"},
        compute={"cache_features": True},
    )
    data = load_data(recipe)
    module = ChipDataModule(recipe, data, band_statistics(data.train, data.bands))
    record_property("engine", engine)
    record_property("steps", module.inner_steps())
    assert module.inner_steps() >= 50
    alone = finetune(recipe).folder
    values = json.loads(recipe.model_dump_json()) | {"runs": str(tmp_path / "spread")}
    values["compute"] |= {"devices": 2, "accelerator": "cpu"}
    file = tmp_path / "spread.yaml"
    file.write_text(yaml.safe_dump(values))
    command = Path(sys.executable).with_name("rsmeta")
    done = subprocess.run(
        [sys.executable, *launcher, str(command), "finetune", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    (spread,) = (path for path in (tmp_path / "spread").iterdir() if path.name != "latest")
    for name, columns in {
        "history.csv": ["loss", "outer_loss", "gamma_mean", "tail_accuracy", "passes"],
        "modulators.csv": ["gamma"],
    }.items():
        tables = [pd.read_csv(run / name)[columns].to_numpy(float) for run in (alone, spread)]
        difference = np.abs(tables[0] - tables[1]).max()
        record_property(f"max difference, {name}", float(difference))
        assert difference < TOLERANCE
