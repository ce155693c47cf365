import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_server import CommandServer
from hypothesis import settings

from rsmeta.recipe import Recipe

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("RSMETA_SHARED", ROOT.parent / "shared"))

# `steady`: the same examples in every run, however busy the machine is. `trust`: many more, others
# in every run.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("trust", deadline=None, max_examples=3000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

TINY_DATA = {"source": "simulator", "largest_class": 8, "imbalance": 4, "test_per_class": 2}
TINY_IMAGES = {"image_size": 32}
"""Half the side of the default: a quarter of the tokens."""

LONGEST = [
    "test_notebooks.py",
    "train/test_training.py",
    "train/test_finetuning.py",
    "scenes/test_ray_engine.py",
    "scenes/test_workers.py",
    "train/test_distributed.py",
    "train/test_pruning_while_training.py",
    "export/test_export.py",
]
"""Files that take minutes, the longest first."""


def pytest_collection_modifyitems(items):
    """Long files first, so that processes that share out the files end at about the same time."""
    order = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session")
def shared():
    """The optional folder of real data and a real backbone."""
    if not SHARED.is_dir():
        pytest.skip(f"the optional data folder {SHARED} is absent; set RSMETA_SHARED")
    return SHARED


@pytest.fixture
def without_report(monkeypatch):
    """Runs of this process get no report, whose figures take longer than their training."""
    for module in ("finetuning", "pruning"):
        monkeypatch.setattr(f"rsmeta.{module}.write_report", lambda folder: None)


@pytest.fixture
def tiny_recipe(tmp_path, without_report):
    """Builds recipes that train in a second, with sections replaced by keyword."""

    def build(**sections):
        values = {
            "name": "tiny",
            "runs": tmp_path / "runs",
            "data": TINY_DATA,
            "peft": {"method": "lora", "rank": 2, "blocks": "last:2"},
            "inner": {"epochs": 2, "batch_size": 8},
            "outer": {"every": 2, "batch_size": 11, "learning_rate": 0.1},
        }
        backbone = TINY_IMAGES | sections.pop("backbone", {})
        return Recipe.model_validate(values | sections | {"backbone": backbone})

    return build


def checked(done, check):
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def rsmeta_command():
    """Runs the command in a folder and a process of its own, one at a time."""
    server = CommandServer()

    def run(*arguments, cwd, check=True):
        environment = os.environ | {"COLUMNS": "200"}
        return checked(server.run([*map(str, arguments)], cwd, environment), check)

    yield run
    server.close()


@pytest.fixture(scope="session")
def installed_command():
    """Runs the installed command in a folder, as a user would, several at a time if need be."""

    def run(*arguments, cwd, check=True):
        command = [str(Path(sys.executable).with_name("rsmeta")), *map(str, arguments)]
        environment = os.environ | {"COLUMNS": "200"}
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
        return checked(done, check)

    return run


@pytest.fixture(scope="session")
def finished_run(installed_command, tmp_path_factory):
    """A MetaPEFT run on simulated SAR, made by the command; (working folder, run folder)."""
    folder = tmp_path_factory.mktemp("work")
    recipe = folder / "tiny.yaml"
    recipe.write_text(
        "name: tiny\n"
        "data: {source: simulator, largest_class: 8, imbalance: 4, test_per_class: 2}\n"
        "inner: {epochs: 2, batch_size: 8}\n"
        "outer: {every: 2, batch_size: 11, learning_rate: 0.1}\n"
    )
    installed_command("finetune", recipe, cwd=folder)
    return folder, (folder / "runs" / "latest").resolve()


@pytest.fixture(scope="session")
def rsmeta_python():
    """Runs Python code in a new process; further arguments become `sys.argv[1:]`."""

    def run(code, *arguments):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
