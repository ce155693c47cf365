"""What the pages tell the reader to do, done."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from documentation import ROOT, code_blocks, patched, shell_words
from typer.testing import CliRunner

from rsmeta.cli import app
from rsmeta.finetuning import finetune

TINY = {
    "simulate": {"--size": "512"},
    "finetune": {"--set": "inner.epochs=1"},
}
"""Smaller values for what takes minutes."""


def tiny(words):
    """A command of the quick start with smaller values."""
    changed = list(words)
    for option, value in TINY.get(words[0], {}).items():
        if option in changed:
            changed[changed.index(option) + 1] = value
        else:
            changed += [option, value]
    return changed


@pytest.mark.slow
def test_the_quick_start_ends_with_a_map(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in code_blocks("index.md") if block.language == "sh"]
    commands = [words for block in blocks for words in shell_words(block)]
    ours = [words[1:] for words in commands if words[0] == "rsmeta"]
    assert {words[0] for words in ours} >= {"init", "validate", "finetune", "evaluate", "predict"}
    for words in ours:
        done = CliRunner().invoke(app, tiny(words))
        assert done.exit_code == 0, (words, done.output, done.exception)
    for name in ("classes.tif", "confidence.tif", "polygons.gpkg"):
        assert (tmp_path / "maps" / f"scene_{name}").is_file()
    assert (tmp_path / "runs" / "latest" / "report.html").is_file()
    (python,) = code_blocks("reference/python.md")
    exec(python.text, {})
    assert (tmp_path / "maps_of_python" / "scene_classes.tif").is_file()


def run(words, folder, environment):
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.slow
def test_contributing_is_followed_literally(tmp_path):
    """A method, a sensor and a data set are added to a copy of the repository."""
    for name in ("rsmeta", "tests", "recipes", "pyproject.toml", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    tools = Path(sys.executable).parent
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }
    commands = []
    for block in code_blocks("contributing.md"):
        if block.language == "console":
            commands += shell_words(block)
            for words in shell_words(block):
                said = run(words, tmp_path, environment)
                assert words[0] != "pytest" or " passed" in said
        elif block.language == "diff":
            file = tmp_path / block.title
            file.write_text(patched(file.read_text(), block.text))
        else:
            file = tmp_path / block.title
            assert not file.exists()
            file.write_text(block.text)
    assert [words[0] for words in commands].count("pytest") == 2


@pytest.mark.slow
def test_the_sharded_script_ends_where_one_process_does(tiny_recipe, tmp_path):
    recipe = tiny_recipe(
        data={"source": "simulator", "largest_class": 8, "imbalance": 1, "test_per_class": 1},
        outer={"every": 2, "batch_size": 22, "learning_rate": 0.1},
        peft={"rank": 2, "blocks": "last:2"},
    )
    alone = finetune(recipe).folder
    (script,) = (block for block in code_blocks("scaling.md") if block.title == "sharded.py")
    (tmp_path / script.title).write_text(script.text)
    values = recipe.model_dump(mode="json") | {"runs": str(tmp_path / "sharded")}
    values["compute"] |= {"devices": 2, "accelerator": "cpu"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    run([*launcher, script.title, "recipe.yaml"], tmp_path, os.environ)
    for name, columns in {
        "history.csv": ["loss", "outer_loss"],
        "modulators.csv": ["gamma"],
    }.items():
        tables = [
            pd.read_csv(folder / name)[columns].to_numpy(float)
            for folder in (alone, tmp_path / "sharded" / "latest")
        ]
        assert np.abs(tables[0] - tables[1]).max() < 1e-5
