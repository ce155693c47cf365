import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator.product import write_scene
from rsmeta.errors import DataError, RecipeError, RunError, SceneError
from rsmeta.recipe import Recipe

DATA = {"source": "simulator", "largest_class": 3, "imbalance": 1, "test_per_class": 3}


@pytest.fixture
def copied(finished_run, tmp_path):
    return shutil.copytree(finished_run[1], tmp_path / "copied")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_evaluate_gives_the_stored_results_again_and_more(finished_run, rsmeta, tmp_path):
    run = finished_run[1]
    done = rsmeta("evaluate", run, "--out", "found", "--json")
    found = json.loads(done.stdout)
    assert found == read(tmp_path / "found" / "evaluation.json")
    assert found["accuracy"] == read(run / "metrics.json")["accuracy"]
    stored = pd.read_csv(run / "per_class.csv")
    assert [row["recall"] for row in found["classes"]] == pytest.approx(stored["accuracy"].tolist())
    assert [row["group"] for row in found["classes"]] == stored["group"].tolist()
    low, high = found["intervals"]["average"]
    assert low <= found["accuracy"]["average"] <= high and low < high
    assert found["intervals"]["head"] is None  # no class has so many chips
    assert sum(entry["chips"] for entry in found["calibration"]["bins"]) == found["chips"] == 22
    confusion = "confusion.csv"
    assert (tmp_path / "found" / confusion).read_bytes() == (run / confusion).read_bytes()
    predictions = pd.read_csv(tmp_path / "found" / "predictions.csv")
    pd.testing.assert_frame_equal(
        predictions, pd.read_csv(run / "predictions.csv")[predictions.columns]
    )


def test_evaluate_takes_other_chips(finished_run, rsmeta, tmp_path):
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(DATA))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "other", "data": DATA}))
    section, recipe = (
        rsmeta("evaluate", finished_run[1], "--data", name, "--json").stdout
        for name in ("data.yaml", "recipe.yaml")
    )
    assert section == recipe
    found = json.loads(section)
    assert found["chips"] == 33
    assert np.sum(found["confusion"]["counts"], axis=1).tolist() == [3] * 11
    assert found["classes"][0]["train_chips"] == 8  # those that the run was trained on


def test_evaluate_prints_intervals_and_calibration(finished_run, rsmeta):
    said = rsmeta("evaluate", finished_run[1]).stdout
    assert "open water" in said and "F1" in said and "–" in said
    assert "calibration: expected error" in said


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (DATA | {"sensor": "optical"}, RunError, r"bands R \(digital number\).*VV \(dB\)"),
        ({"sensor": "sar"}, RecipeError, "no section of chips"),
        (DATA | {"test_per_class": 0}, RecipeError, "data.test_per_class"),
        ({"source": "folder", "root": "x", "sensor": "sar"}, DataError, "does not exist"),
    ],
)
def test_other_chips_must_fit(finished_run, rsmeta, tmp_path, data, error, message):
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(error, match=message) as caught:
        rsmeta("evaluate", finished_run[1], "--data", "data.yaml")
    assert "\n" not in str(caught.value)


def test_a_scene_is_compared_with_raster_and_with_polygons(finished_run, rsmeta, tmp_path):
    write_scene(tmp_path / "scene.tif", SimulatedSensor.SAR, 256, 3)
    options = ["evaluate", finished_run[1], "--scene", "scene.tif", "--json", "--truth"]
    raster, polygons = (
        json.loads(rsmeta(*options, f"scene_truth.{suffix}").stdout) for suffix in ("tif", "gpkg")
    )
    assert raster["labelled"] > 0 and 0 <= raster["mean_recall"] <= 1
    assert polygons["labelled"] == raster["labelled"]  # the polygons are those of the raster
    assert polygons["recall"] == raster["recall"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--scene", "s"], RunError, "--scene and --truth go together"),
        (["--scene", "s", "--truth", "t", "--seed", 1], RunError, "--data, --out and --seed"),
        (["--class-column", "c"], RunError, "--class-column goes with --scene"),
        (["--scene", "s", "--truth", "t.tif"], SceneError, "truth 't.tif' does not exist"),
        (
            ["--scene", "s", "--truth", "is.tif", "--class-column", "c"],
            SceneError,
            "names its classes itself",
        ),
        (["--scene", "several", "--truth", "is.tif"], SceneError, "stands for 2 scenes"),
    ],
)
def test_options_without_effect_and_missing_truth_are_told_at_once(
    rsmeta, tmp_path, options, error, message
):
    (tmp_path / "several").mkdir()
    for name in ("is.tif", "several/a.tif", "several/b.tif"):
        (tmp_path / name).touch()
    with pytest.raises(error, match=message):
        rsmeta("evaluate", "no_run", *options)


def test_verify_finds_the_same_results_and_no_others(copied, rsmeta):
    assert "gives its stored results again" in rsmeta("verify", copied).stdout
    metrics = read(copied / "metrics.json")
    metrics["accuracy"]["overall"] += 1e-5
    (copied / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(RunError, match=r"overall accuracy is .* stored is") as caught:
        rsmeta("verify", copied)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1


def test_runs_are_compared(finished_run, copied, rsmeta):
    recipe = yaml.safe_load((copied / "recipe.yaml").read_text())
    recipe["inner"]["learning_rate"] = 0.5
    (copied / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    table = pd.read_csv(copied / "modulators.csv", float_precision="round_trip")
    table.loc[5, "gamma"] += 0.25
    table.to_csv(copied / "modulators.csv", index=False)
    classes = pd.read_csv(copied / "per_class.csv")
    classes.loc[0, "accuracy"] = 0.25
    classes[classes["class"] != "ship"].to_csv(copied / "per_class.csv", index=False)
    for name in ("predictions.csv", "features.csv", "chips.csv"):
        (copied / name).unlink()
    confusion = pd.read_csv(copied / "confusion.csv")
    confusion[confusion["true class"] != "ship"].drop(columns="ship").to_csv(
        copied / "confusion.csv", index=False
    )
    found = json.loads(rsmeta("compare", finished_run[1], copied, "--json").stdout)
    first, second = found["runs"]
    default = Recipe.model_fields["inner"].default.learning_rate
    assert found["recipe"] == [{"key": "inner.learning_rate", first: default, second: 0.5}]
    rows = {row["class"]: row for row in found["classes"]}
    assert rows["open water"][second] == 0.25 and rows["ship"][second] is None
    differing = [row for row in found["modulators"] if row[first] != row[second]]
    assert len(differing) == 1
    assert differing[0][second] - differing[0][first] == pytest.approx(0.25)
    said = rsmeta("compare", finished_run[1], copied).stdout
    assert "inner.learning_rate" in said and "the 1 that differ most" in said


def test_the_modulator_of_a_band_is_compared_without_a_block(finished_run, copied, rsmeta):
    table = pd.read_csv(copied / "modulators.csv")
    table.loc[len(table)] = table.iloc[0].to_dict() | {"block": None, "position": "VV"}
    table.to_csv(copied / "modulators.csv", index=False)
    found = json.loads(rsmeta("compare", finished_run[1], copied, "--json").stdout)
    rows = {(row["block"], row["position"]) for row in found["modulators"]}
    assert (None, "VV") in rows and (0, "q") in rows
    assert not [block for block, _ in rows if block is not None and block < 0]


def test_one_run_cannot_be_compared(finished_run, rsmeta):
    with pytest.raises(RunError, match="two or more"):
        rsmeta("compare", finished_run[1])
    with pytest.raises(RunError, match="stands twice"):
        rsmeta("compare", finished_run[1], finished_run[1])


def test_report_writes_the_page_anew(copied, rsmeta):
    (copied / "report.html").unlink()
    assert rsmeta("report", copied).stdout.strip() == str(copied / "report.html")
    page = (copied / "report.html").read_text()
    assert page.count('class="interval"') > 3 * 8 and ">F1<" in page
    assert 'id="reliability"' in page and "Expected calibration error" in page
    (copied / "predictions.csv").unlink()  # as in runs of older versions
    rsmeta("report", copied)
    assert 'id="reliability"' not in (copied / "report.html").read_text()
