from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rsmeta.bands import sensor
from rsmeta.data import chips
from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.inspection import inspect_data, load_inspected
from rsmeta.data.problems import ChipProblem
from rsmeta.errors import DataError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate

ROOT_KEYS = {"sensor": "sar-amplitude", "bands": ["HH"]}


@pytest.fixture
def noise():
    """Distinct chips of an amplitude, uint8."""
    rng = np.random.default_rng(0)

    def make(bands=1, size=8):
        return rng.integers(1, 255, (bands, size, size), dtype=np.uint8)

    return make


@pytest.fixture
def spoilt(write_chip, noise, tmp_path):
    """A folder with one chip for everything that can be wrong; its recipe section."""
    for split, count in (("train", 4), ("test", 2)):
        for label in ("a", "b"):
            for number in range(count):
                write_chip(f"chips/{split}/{label}/{number}.tif", noise())
    root = tmp_path / "chips"
    write_chip("chips/train/a/bands.tif", noise(bands=2))
    (root / "train" / "b" / "text.tif").write_text("no raster")
    whole = write_chip("chips/train/b/truncated.tif", noise(size=64)).read_bytes()
    (root / "train" / "b" / "truncated.tif").write_bytes(whole[: len(whole) // 2])
    write_chip("chips/test/a/void.tif", np.full((1, 8, 8), np.nan, dtype=np.float32))
    write_chip("chips/test/c/label.tif", noise())
    (root / "test" / "b" / "copy.tif").write_bytes((root / "train" / "a" / "2.tif").read_bytes())
    return {"source": "folder", "root": str(root), **ROOT_KEYS}


WRONG = {
    "train/a/bands.tif": "has 2 bands; the recipe names 1",
    "train/b/text.tif": "cannot be opened",
    "train/b/truncated.tif": "truncated",
    "test/a/void.tif": "no valid pixel",
    "test/c/label.tif": "label 'c'",
    "test/b/copy.tif": "train/a/2.tif",
}


def inspected(data, **sections):
    return load_inspected(validate(Recipe, {"name": "x", "data": data, **sections}))


def arrays(train, test, labels=None, test_labels=None, classes=("a", "b")):
    """Labelled data in memory, of one band in dB."""
    labels = np.arange(len(train)) % 2 if labels is None else np.array(labels)
    test_labels = np.arange(len(test)) % 2 if test_labels is None else np.array(test_labels)
    bands = sensor("sar").select(["VV"])
    return LabelledData(
        ChipArray(train.astype(np.float32), labels),
        ChipArray(test.astype(np.float32), test_labels),
        classes,
        bands,
    )


def decibels(count, seed=0):
    return np.random.default_rng(seed).normal(-15, 4, (count, 1, 8, 8))


def test_every_chip_that_cannot_be_used_is_one_line(spoilt):
    with pytest.raises(DataError) as caught:
        inspected(spoilt)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(WRONG)
    for path, words in WRONG.items():
        (line,) = [line for line in lines if path in line]
        assert words in line


def test_classes_and_bands_are_told_in_the_same_pass(spoilt):
    wrong = {"classes": ["a", "ship", "b", "harbour"], "sensor": "sar"}
    with pytest.raises(DataError) as caught:
        inspected(spoilt | wrong | {"bands": ["VV"]})
    lines = str(caught.value).splitlines()
    assert len(lines) == len(WRONG) + 3
    assert sum("has no training chips" in line for line in lines) == 2
    assert any("class 'ship'" in line for line in lines)
    assert any("band 'VV' is to be in dB" in line for line in lines)


def test_skipping_goes_on_without_them_and_says_so_once(spoilt, caplog):
    found = inspected(spoilt | {"on_error": "skip"})
    assert [len(found.data.train), len(found.data.test)] == [8, 4]
    assert found.data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert {
        next(path for path in WRONG if problem.chip.endswith(path)): (problem.split, problem.label)
        for problem in found.skipped
    } == {path: tuple(path.split("/")[:2]) for path in WRONG}
    told = [r.getMessage() for r in caplog.records if r.name == "rsmeta.data.inspection"]
    assert told == ["6 chips cannot be used and are skipped (data.on_error: skip)"]


def test_skipped_chips_do_not_count_for_the_statistics(spoilt):
    found = inspected(spoilt | {"on_error": "skip"})
    pixels = np.concatenate([found.data.train.read(i).ravel() for i in range(8)])
    np.testing.assert_allclose(found.statistics.mean, pixels.mean(dtype=np.float64))
    np.testing.assert_allclose(found.statistics.std, pixels.std(dtype=np.float64))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_class_without_a_chip_that_can_be_used_stops(on_error):
    train = decibels(4)
    train[[1, 3]] = np.nan
    data = arrays(train, decibels(2, 1))
    with pytest.raises(DataError) as caught:
        inspect_data(data, "none", on_error)
    classes = [line for line in str(caught.value).splitlines() if line.startswith("class 'b'")]
    assert len(classes) == (1 if on_error == "skip" else 0)


def test_a_test_without_chips_that_can_be_used_stops():
    data = arrays(decibels(4), np.full((2, 1, 8, 8), np.nan))
    with pytest.raises(DataError, match=r"^no test chip can be used"):
        inspect_data(data, "none", "skip")


def test_chips_of_any_source_are_compared_and_counted():
    train, test = decibels(4), decibels(3, 1)
    test[1] = train[2]
    data = arrays(train, test)
    with pytest.raises(DataError) as caught:
        inspect_data(data, "none", "stop")
    assert str(caught.value) == (
        "test chip 'chip 1' has the very pixels of training chip 'chip 2'; leave one out"
    )
    assert inspect_data(data, "none", "skip").data.test.labels.tolist() == [0, 0]
    wide = replace(data, test=ChipArray(np.zeros((1, 3, 8, 8), np.float32), np.zeros(1, int)))
    with pytest.raises(DataError, match=r"^chip 'chip 0' has 3 bands; the recipe names 1$"):
        inspect_data(wide, "none", "stop")


def test_the_same_pixels_in_another_shape_are_another_chip():
    train = decibels(4)
    data = arrays(train, train[:1].reshape(1, 1, 4, 16))
    assert inspect_data(data, "none", "stop").skipped == ()


def test_what_a_source_rejects_is_told_or_skipped():
    problem = ChipProblem("x.tif", "train", "z", "chip 'x.tif' is in nobody's list")
    data = replace(arrays(decibels(4), decibels(2, 1)), rejected=(problem,))
    with pytest.raises(DataError, match=r"^chip 'x.tif' is in nobody's list$"):
        inspect_data(data, "none", "stop")
    assert inspect_data(data, "none", "skip").skipped == (problem,)


def test_clipping_is_to_the_percentiles_of_the_training_chips():
    train = decibels(6)
    train[0, 0, 0, 0] = 1e4
    data = arrays(train, decibels(2, 1))
    found = inspect_data(data, "percentiles", "stop")
    low, high = np.percentile(train.astype(np.float32), (2, 98))
    assert found.statistics.limits.low == pytest.approx([low])
    assert found.statistics.limits.high == pytest.approx([high])
    clipped = np.clip(train, low, high)
    assert found.statistics.mean == pytest.approx([clipped.mean()])
    assert found.statistics.std == pytest.approx([clipped.std()])
    plain = inspect_data(data, "none", "stop").statistics
    assert plain.limits is None and plain.std[0] > 10 * found.statistics.std[0]


def test_every_file_is_opened_once(write_chip, noise, tmp_path, monkeypatch):
    rows = []
    for number in range(8):
        path = write_chip(f"{number}.tif", noise())
        split = "train" if number < 4 else "test"
        rows.append({"path": path.name, "label": "ab"[number % 2], "split": split})
    pd.DataFrame(rows).to_csv(tmp_path / "chips.csv")
    opened = []
    real = chips.open_raster
    monkeypatch.setattr(
        chips, "open_raster", lambda path, *a: opened.append(path) or real(path, *a)
    )
    data = {"source": "table", "file": str(tmp_path / "chips.csv"), "clip": "percentiles"}
    found = inspected(data | ROOT_KEYS)
    assert found.data.tile_size == 8
    assert sorted(path.name for path in opened) == [f"{number}.tif" for number in range(8)]
