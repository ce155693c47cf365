import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from rasterio import Affine
from typer.main import get_command
from typer.testing import CliRunner

from rsmeta import __version__
from rsmeta.cli import app
from rsmeta.recipe import Recipe
from rsmeta.runs import load_run

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("command", sorted(get_command(app).commands))
def test_every_command_has_help_with_an_example(command):
    said = CliRunner().invoke(app, [command, "--help"]).stdout
    assert re.search(rf"Examples?: rsmeta {command}", said)


def test_version(rsmeta_command, tmp_path):
    assert rsmeta_command("--version", cwd=tmp_path).stdout.strip() == f"rsmeta {__version__}"


def test_predict_classifies_a_simulated_scene_with_the_latest_run(finished_run, rsmeta_command):
    work, _ = finished_run
    rsmeta_command("simulate", "--size", 256, "--seed", 3, "scene.tif", cwd=work)
    done = rsmeta_command("predict", "scene.tif", "--truth", "scene_truth.tif", cwd=work)
    assert "agreement:" in done.stdout
    with (
        rasterio.open(work / "scene.tif") as scene,
        rasterio.open(work / "predictions" / "scene_classes.tif") as classes,
    ):
        cells = scene.transform * Affine.scale(32)  # tiles of 64 px, a step of half a tile
        assert (classes.crs, classes.transform) == (scene.crs, cells)
        assert classes.shape == (8, 8)
        assert set(np.unique(classes.read(1))) <= set(range(11))
        names = json.loads(classes.tags()["CLASS_NAMES"])
    assert names[:2] == ["open water", "field"]


def test_predictions_do_not_depend_on_the_process(finished_run, rsmeta_command):
    work, _ = finished_run
    rsmeta_command("simulate", "--size", 192, "again.tif", cwd=work)
    maps = []
    for out in ("first", "second"):
        rsmeta_command("predict", "again.tif", "--out", out, cwd=work)
        with rasterio.open(work / out / "again_confidence.tif") as confidence:
            maps.append(confidence.read(1))
    assert np.array_equal(*maps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "missing.tif"], "missing.tif"),
        (["predict", "scene.tif", "--run", "nowhere"], "run 'nowhere' does not exist"),
        (["predict", "a/scene.tif", "b/scene.tif"], "several scenes are named 'scene'"),
        (["predict", "optical.tif"], "VV, VH"),
        (["predict", "a.tif", "b.tif", "--truth", "t.tif"], "--truth goes with a single scene"),
        (["export", "nowhere", "--to", "timm"], "run 'nowhere' does not exist"),
        (["simulate", "scene.png"], "use a name that ends in .tif"),
        (["simulate", "--size", 8, "small.tif"], "96 to 16384"),
    ],
)
def test_bad_input_is_one_line(finished_run, rsmeta_command, arguments, message):
    work, _ = finished_run
    if "optical.tif" in arguments:
        options = ["--sensor", "optical", "--size", 128]
        rsmeta_command("simulate", *options, "optical.tif", cwd=work)
    done = rsmeta_command(*arguments, cwd=work, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr


def test_a_wrong_recipe_is_one_line_an_error_and_status_2(rsmeta_command, tmp_path):
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text("name: wrong\ndata: {source: simulator, senor: sar}\npeft: {rnk: 3}\n")
    for command in ("validate", "finetune"):
        done = rsmeta_command(command, recipe, "--set", "inner.epochs=0", cwd=tmp_path, check=False)
        assert done.returncode == 2
        lines = done.stderr.splitlines()
        assert len(lines) == 3
        assert any("data.senor" in line and "'sensor'" in line for line in lines)
        assert any("peft.rnk" in line and "'rank'" in line for line in lines)
        assert any("inner.epochs" in line for line in lines)


def test_validate_says_what_a_recipe_amounts_to(rsmeta_command, tmp_path):
    recipe = ROOT / "recipes" / "sar_cross_spectral.yaml"
    done = rsmeta_command("validate", recipe, "--set", "peft.positions=[q, v]", cwd=tmp_path)
    assert "plan" in done.stdout.lower()
    assert "the recipe is valid" in done.stdout


def test_validate_lists_every_chip_it_cannot_read(rsmeta_command, tmp_path):
    for split, label in [("train", "a"), ("train", "b"), ("test", "a")]:
        folder = tmp_path / "chips" / split / label
        folder.mkdir(parents=True)
        values = np.random.default_rng(0).integers(0, 255, (1, 16, 16), dtype=np.uint8)
        profile = {"driver": "GTiff", "height": 16, "width": 16, "count": 1, "dtype": "uint8"}
        with rasterio.open(folder / "good.tif", "w", **profile) as target:
            target.write(values)
        (folder / "broken.tif").write_text("no raster")
    data = {"source": "folder", "root": "chips", "sensor": "sar-amplitude", "bands": ["HH"]}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"name": "chips", "data": data}))
    done = rsmeta_command("validate", recipe, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "broken.tif" in line]) == 3


def test_the_committed_schema_is_that_of_the_recipe():
    committed = json.loads((ROOT / "recipes" / "recipe.schema.json").read_text())
    assert committed == Recipe.model_json_schema()


def test_a_killed_run_leaves_the_previous_one_as_latest(finished_run, tmp_path):
    shutil.copytree(finished_run[0], tmp_path / "work", symlinks=True)
    runs = tmp_path / "work" / "runs"
    before = (runs / "latest").resolve()
    command = [Path(sys.executable).with_name("rsmeta"), "finetune", "tiny.yaml"]
    process = subprocess.Popen(
        [*command, "--set", "inner.epochs=1000"],
        cwd=tmp_path / "work",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not list(runs.glob(".tiny-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list(runs.glob(".tiny-*"))
    finally:
        process.kill()
        process.wait()
    assert (runs / "latest").resolve() == before
    assert load_run(runs / "latest").classes[0] == "open water"
