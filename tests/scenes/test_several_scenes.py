"""Prediction of several scenes by the model of a run, of which a stand-in is loaded."""

import csv
import json

import numpy as np
import pytest
from tile_classifiers import of_a_run
from typer.testing import CliRunner

from rsmeta import prediction
from rsmeta.cli import app
from rsmeta.errors import SceneError
from rsmeta.prediction import predict
from rsmeta.prediction_options import PredictionOptions

SKIP = PredictionOptions(on_error="skip")


@pytest.fixture
def model(constant, monkeypatch):
    found = of_a_run(constant())
    monkeypatch.setattr(prediction, "load_run", lambda run, **options: found)
    return found


@pytest.fixture
def folder(write_scene, noise, tmp_path, model):
    (tmp_path / "in").mkdir()
    for name in "acd":
        write_scene(noise(20, 20), f"in/{name}.tif")
    write_scene(noise(20, 20), "in/e.tif", descriptions=("VH",))
    (tmp_path / "in" / "b.tif").write_bytes(b"")
    return tmp_path / "in"


def products(out):
    return sorted(path.name.removesuffix("_classes.tif") for path in out.glob("*_classes.tif"))


def test_skipped_scenes_are_listed_with_their_reason(folder, tmp_path):
    out = tmp_path / "out"
    done = []
    with pytest.raises(SceneError, match=r"2 of 5 scenes .*failed\.csv' tells why"):
        done.extend(predict([folder], tmp_path, out, SKIP))
    assert [prediction.classes.name[0] for prediction in done] == ["a", "c", "d"]
    assert products(out) == ["a", "c", "d"]
    assert not list(out.glob(".*"))
    with (out / "failed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["scene"] for row in rows] == [str(folder / "b.tif"), str(folder / "e.tif")]
    assert "is empty (0 bytes)" in rows[0]["reason"]
    assert "[VH]; the model expects 1 [VV]" in rows[1]["reason"]
    list(predict([folder / "a.tif"], tmp_path, out, SKIP))
    assert not (out / "failed.csv").exists()


def test_the_first_failure_stops_by_default(folder, tmp_path):
    with pytest.raises(SceneError, match="empty"):
        list(predict([folder], tmp_path, tmp_path / "out"))
    assert products(tmp_path / "out") == ["a"]
    assert not (tmp_path / "out" / "failed.csv").exists()


def test_equal_names_stop_before_anything_is_written(folder, tmp_path):
    with pytest.raises(SceneError, match="several scenes are named 'd'"):
        list(predict([folder / "d.tif", folder, folder / "a.tif"], tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_scenes_are_matched_to_the_pixel_size_of_the_run(folder, tmp_path, model, noise):
    model.card.pixel_size = 40.0
    matched = PredictionOptions(match_resolution=True, on_error="skip")
    (done,) = predict([folder / "a.tif"], tmp_path, tmp_path / "out", matched)
    assert sum(done.pixels.values()) == 25
    model.card.pixel_size = None
    with pytest.raises(SceneError, match="does not know the pixel size"):
        list(predict([folder], tmp_path, tmp_path / "out", matched))


def test_the_command_passes_its_options_on(write_scene, noise, model, tmp_path, caplog):
    values = np.exp(1j * noise(20, 20, bands=3)).astype(np.complex64)
    paths = [write_scene(values, f"{name}.tif", descriptions=("a", "b", "c")) for name in "xy"]
    model.card.pixel_size = 20.0
    arguments = ["predict", *map(str, paths), "--out", str(tmp_path / "out"), "--bands", "HH,VV,HV"]
    done = CliRunner().invoke(app, [*arguments, "--complex", "power", "--match-resolution"])
    assert "cannot be resampled" in str(done.exception)
    done = CliRunner().invoke(app, [*arguments, "--complex", "power", "--on-error", "skip"])
    assert done.exit_code == 0, done.exception
    assert products(tmp_path / "out") == ["x", "y"]
    messages = [record.getMessage() for record in caplog.records]
    assert sum("trained on VV in dB" in message for message in messages) == 2
    assert sum("pixels of 10 m" in message for message in messages) == 2
    done = CliRunner().invoke(app, ["predict"])
    assert "no scene was given" in str(done.exception)


def test_the_command_writes_the_products_asked_for(folder, tmp_path):
    out = tmp_path / "out"
    arguments = ["predict", str(folder / "a.tif"), "--out", str(out), "--products"]
    done = CliRunner().invoke(
        app, [*arguments, "classes,confidence,parquet,summary,item", "--confidence", "byte",
              "--min-confidence", "0.8", "--minimum-area", "500"]
    )  # fmt: skip
    assert done.exit_code == 0, done.exception
    names = ["classes.tif", "classes.tif.aux.xml", "confidence.tif", "item.json",
             "polygons.parquet", "summary.json"]  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == [f"a_{name}" for name in names]
    for name in names[:1] + names[2:]:
        assert str(out / f"a_{name}") in done.stdout
    facts = json.loads((out / "a_summary.json").read_text())
    assert facts["classes"][3] == {
        "class_id": 3, "class": "unknown", "pixels": 400, "share": 1.0,
        "area_m2": facts["area_m2"],
    }  # fmt: skip
    assert facts["model"]["method"] == "lora"
    assert facts["options"]["minimum_area"] == 500
    done = CliRunner().invoke(app, [*arguments, "gpkg", "--truth", str(folder / "a.tif")])
    assert "add classes to --products" in str(done.exception)
