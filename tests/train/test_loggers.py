"""Loggers are told what history.csv holds."""

import math
from typing import ClassVar

import pandas as pd
import pytest
from lightning.pytorch.loggers import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rsmeta import finetuning
from rsmeta.errors import RecipeError
from rsmeta.finetuning import finetune, resume
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate
from rsmeta.runs import HISTORY
from rsmeta.train.loggers import LOGGERS, LoggerKind, open_loggers
from rsmeta.validation import validate_recipe

SMALL = {"source": "simulator", "largest_class": 4, "imbalance": 2, "test_per_class": 1}


pytestmark = pytest.mark.usefixtures("without_report")


@pytest.fixture
def small(tiny_recipe):
    def build(**sections):
        peft = {"method": "lora", "rank": 2, "blocks": "last:2"}
        return tiny_recipe(data=SMALL, peft=peft, **sections)

    return build


def history_of(run):
    """What history.csv holds, by name and epoch, without its empty cells."""
    table = pd.read_csv(run / HISTORY).set_index("epoch")
    return {name: column.dropna().to_dict() for name, column in table.items()}


def told(steps):
    """Numbers by name and epoch from triples; the later of two for one epoch counts."""
    found = {}
    for name, epoch, value in steps:
        found.setdefault(name, {})[epoch] = value
    return found


def without_test(found):
    return {name: steps for name, steps in found.items() if not name.startswith("test/")}


class StandIn(Logger):
    """A logger that keeps what it is told."""

    made: ClassVar = []

    def __init__(self, **settings):
        super().__init__()
        self.settings, self.steps, self.ends = settings, [], []
        self.hyperparameters = None
        self.made.append(self)

    name, version = "stand-in", "0"

    @property
    def experiment(self):
        return self

    def finish(self):
        self.ends.append("finish")

    def log_hyperparams(self, params):
        self.hyperparameters = params

    def log_metrics(self, metrics, step=None):
        self.steps += [(name, step, value) for name, value in metrics.items()]

    def finalize(self, status):
        self.ends.append(status)


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A fresh stand-in in the place of Lightning's loggers, with their packages "installed"."""
    kind = type("StandIn", (StandIn,), {"made": []})
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", kind)
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", kind)
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("mlflow", "wandb"):
        (packages / f"{name}.py").touch()
    monkeypatch.syspath_prepend(packages)
    return kind


def test_tensorboard_is_told_the_history_by_default(small):
    run = finetune(small()).folder
    (file,) = run.glob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    found = {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }
    expected = history_of(run)
    assert without_test(found).keys() == {name for name, steps in expected.items() if steps}
    for name, steps in without_test(found).items():
        assert steps == pytest.approx(expected[name], rel=1e-6), name
    metrics = pd.read_json(run / "metrics.json", typ="series")["accuracy"]
    assert found["test/average"] == {2: pytest.approx(metrics["average"])}


def test_without_loggers_history_is_written_alone(small):
    run = finetune(small(loggers=[])).folder
    assert (run / HISTORY).is_file()
    assert not list(run.glob("events*"))


def test_mlflow_and_wandb_are_told_the_history(small, stand_in):
    recipe = small(loggers=["mlflow", "wandb"])
    run = finetune(recipe).folder
    mlflow, wandb = stand_in.made
    assert mlflow.settings["experiment_name"] == wandb.settings["project"] == recipe.name
    assert mlflow.settings["run_name"] == wandb.settings["name"] == run.name
    expected = {name: steps for name, steps in history_of(run).items() if steps}
    for logger in (mlflow, wandb):
        assert without_test(told(logger.steps)) == {
            name: pytest.approx(steps) for name, steps in expected.items()
        }
        assert not any(math.isnan(value) for _, _, value in logger.steps)
        assert logger.hyperparameters["peft"]["rank"] == 2
    assert mlflow.ends == ["success"]
    assert wandb.ends == ["success", "finish"]


def test_a_failed_run_is_told_as_such_and_a_resumed_one_tells_all_epochs(
    small, stand_in, monkeypatch
):
    recipe = small(loggers=["wandb"])
    with monkeypatch.context() as during:
        during.setattr(finetuning, "evaluate", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finetune(recipe)
    (draft,) = recipe.runs.glob(".*.partial")
    run = resume(draft).folder
    failed, resumed = stand_in.made
    assert failed.ends == ["failed", "finish"]
    assert failed.settings["id"] == resumed.settings["id"] == run.name
    assert without_test(told(resumed.steps))["loss"] == pytest.approx(history_of(run)["loss"])


@pytest.mark.parametrize("check", [finetune, validate_recipe])
def test_a_logger_that_is_not_installed_is_one_line_with_its_extra(small, monkeypatch, check):
    monkeypatch.setattr("rsmeta.train.loggers.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"^loggers: 'mlflow' .*pip install 'rsmeta\[mlflow\]'"):
        check(small(loggers=["mlflow"]))


def test_unknown_and_doubled_loggers_are_refused(tiny_recipe):
    values = tiny_recipe().model_dump()
    with pytest.raises(RecipeError, match="loggers"):
        validate(Recipe, values | {"loggers": ["csv"]})
    with pytest.raises(RecipeError, match="twice"):
        validate(Recipe, values | {"loggers": ["wandb", "wandb"]})


class Ending:
    """A logger that writes down how it ended, and may fail to."""

    def __init__(self, name, ended, fails):
        self.name, self.ended, self.fails = name, ended, fails

    def log_hyperparams(self, values):
        pass

    def finalize(self, status):
        self.ended.append((self.name, status))
        if self.fails:
            raise OSError("the server is gone")


def test_every_logger_ends_whatever_becomes_of_the_others(tiny_recipe, tmp_path, monkeypatch):
    """One cannot be made or ended: the others end all the same, and are told of it."""
    ended = []

    def refuse(recipe, folder, run):
        raise OSError("no connection")

    def kind(name, fails=False):
        return LoggerKind("lightning", lambda *_: Ending(name, ended, fails))

    recipe = tiny_recipe(loggers=["tensorboard", "mlflow"])
    monkeypatch.setitem(LOGGERS, "tensorboard", kind("first"))
    monkeypatch.setitem(LOGGERS, "mlflow", LoggerKind("lightning", refuse))
    with pytest.raises(OSError, match="no connection"), open_loggers(recipe, tmp_path, "run"):
        pass
    assert ended == [("first", "failed")]

    ended.clear()
    monkeypatch.setitem(LOGGERS, "mlflow", kind("second", fails=True))
    with pytest.raises(OSError, match="is gone"), open_loggers(recipe, tmp_path, "run"):
        pass
    assert {name for name, _ in ended} == {"first", "second"}
