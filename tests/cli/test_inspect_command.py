import json
import shutil

import numpy as np
import pandas as pd
import pytest
import rasterio

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator.product import write_scene
from rsmeta.errors import RunError, SceneError, TargetError, TrainingError

RECIPE = (
    "name: tiny\n"
    "data: {source: simulator, largest_class: 4, imbalance: 2, test_per_class: 1}\n"
    "inner: {epochs: 3, batch_size: 8}\n"
    "outer: {every: 2, batch_size: 11}\n"
)


SMALL_RASTER = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "float32"}


def test_a_recipe_is_resolved_and_measured(rsmeta, tmp_path):
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    options = ["inspect", "tiny.yaml", "--json", "--set", "peft.rank=4"]
    found = json.loads(rsmeta(*options).stdout)
    assert found["kind"] == "recipe"
    assert found["recipe"]["peft"]["rank"] == 4
    assert found["chips"]["test"] == 11
    assert found["memory_bytes"] > 0 and found["training_seconds"] > 0
    head_and_modulators = 11 * 192 + 48
    planned = sum(line["parameters"] for line in found["plan"])
    assert found["trainable_parameters"] == planned + head_and_modulators
    unmeasured = json.loads(rsmeta(*options, "--no-measure").stdout)
    assert unmeasured == found | {"training_seconds": None}
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_several_processes_tell_a_recipe_once(rsmeta_command, tmp_path):
    (tmp_path / "tiny.yaml").write_text(RECIPE.replace("11}", "12}"))
    options = ["--set", "compute.devices=2", "--set", "compute.accelerator=cpu", "--json"]
    said = rsmeta_command("inspect", "tiny.yaml", *options, cwd=tmp_path)
    (line,) = said.stdout.splitlines()
    assert json.loads(line)["training_seconds"] > 0


def test_a_run_tells_what_it_learned(finished_run, rsmeta):
    run = finished_run[1]
    said = rsmeta("inspect", run).stdout
    table = pd.read_csv(run / "modulators.csv")
    row = next(line for line in said.splitlines() if line.startswith("│ fc1"))
    wanted = table[table["position"] == "fc1"].sort_values("block")["gamma"]
    assert row.replace("│", " ").split()[1:] == [f"{gamma:.2f}" for gamma in wanted]
    assert "VV, VH" in said and "simulator: 48 chips, tested on 22" in said
    assert "open water" in said and "torch" in said
    found = json.loads(rsmeta("inspect", run, "--json").stdout)
    assert found["bands"] == ["VV", "VH"] and len(found["modulators"]) == 48


def test_a_scene_tells_whether_a_run_fits_it(finished_run, rsmeta, tmp_path):
    for name, sensor in (("sar", SimulatedSensor.SAR), ("optical", SimulatedSensor.OPTICAL)):
        write_scene(tmp_path / f"{name}.tif", sensor, 160, 0)
    options = ["--run", finished_run[1], "--json"]
    (fits,) = json.loads(rsmeta("inspect", "sar.tif", *options).stdout)
    assert (fits["width"], fits["crs"]) == (160, "EPSG:32631")
    assert fits["pixel_size"] == pytest.approx([2, 2], rel=0.01)
    assert fits["fit"]["fits"] and fits["fit"]["bands"] == [["VV", "VV"], ["VH", "VH"]]
    assert fits["fit"]["tiles"] == 16
    (unfit,) = json.loads(rsmeta("inspect", "optical.tif", *options).stdout)
    assert not unfit["fit"]["fits"] and "expects 2 [VV, VH]" in unfit["fit"]["problem"]
    said = rsmeta("inspect", "optical.tif", "--run", finished_run[1]).stdout
    assert "does not fit" in said and "uint8" in said


def test_nodata_and_missing_georeferencing_are_told(rsmeta, tmp_path):
    profile = {"height": 8, "width": 9, "count": 1, "dtype": "float32", "nodata": np.nan}
    with rasterio.open(tmp_path / "plain.tif", "w", driver="GTiff", **profile) as target:
        target.write(np.ones((1, 8, 9), dtype="float32"))
    (found,) = json.loads(rsmeta("inspect", "plain.tif", "--json").stdout)
    assert found["bands"][0]["nodata"] == "nan"
    assert (found["crs"], found["pixel_size"], found["georeferenced_by"]) == (None, None, "nothing")
    assert "georeferenced by nothing" in rsmeta("inspect", "plain.tif").stdout


@pytest.mark.parametrize("nodata", ["nan", "inf", "-inf"])
def test_json_has_no_number_that_json_does_not_know(rsmeta, nodata):
    with rasterio.open("scene.tif", "w", nodata=float(nodata), **SMALL_RASTER):
        pass
    said = rsmeta("inspect", "scene.tif", "--json").stdout
    (found,) = json.loads(said, parse_constant=pytest.fail)
    assert found["bands"][0]["nodata"] == nodata


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["nowhere"], TargetError, "does not exist"),
        (["history.csv"], TargetError, "neither a recipe"),
        (["notes.doc"], SceneError, "cannot be opened"),
        (["empty"], SceneError, "holds no raster"),
        (["b_{band}.tif"], SceneError, "add --run"),
        (["run"], RunError, "lacks metrics.json"),
        (["run", "--run", "run"], TargetError, "--run and --bands go with a scene"),
        (["run", "--set", "a=1"], TargetError, "--set goes with a recipe"),
        (["run", "--no-measure"], TargetError, "measure goes with a recipe"),
        (["scene.tif", "--measure"], TargetError, "measure goes with a recipe"),
        (["scene.tif", "--run", "none"], RunError, "run 'none' does not exist"),
        (["scene.tif", "--run", "empty"], RunError, "run 'empty' lacks model.safetensors"),
        (
            ["tiny.yaml", "--set", "inner.learning_rate=1e19"],
            TrainingError,
            "training stopped: .*; lower inner.learning_rate",
        ),
    ],
)
def test_anything_else_is_one_line(finished_run, rsmeta, tmp_path, arguments, error, message):
    for name in ("history.csv", "notes.doc"):
        (tmp_path / name).write_text("text")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    with rasterio.open(tmp_path / "scene.tif", "w", **SMALL_RASTER):
        pass
    for name in ("empty", "run"):
        (tmp_path / name).mkdir()
    shutil.copy(finished_run[1] / "recipe.yaml", tmp_path / "run")
    with pytest.raises(error, match=message) as caught:
        rsmeta("inspect", *arguments)
    assert "\n" not in str(caught.value)
