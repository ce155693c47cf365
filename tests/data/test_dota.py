"""Objects of DOTA, cut out of miniature images by the real class of TorchGeo."""

import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from dota_files import BOX, EVERYWHERE, dota, pack, pixels
from PIL import Image

from rsmeta.data.sources import load_data
from rsmeta.errors import DataError, RecipeError
from rsmeta.longtail.groups import assign_groups
from rsmeta.recipe import Recipe
from rsmeta.recipe.dota import PAPER_CLASSES
from rsmeta.recipe_reading import read_recipe, validate
from rsmeta.validation import validate_recipe

TWO = ["plane", "ship"]


@pytest.fixture
def load(tmp_path):
    """Load chips of the DOTA in the test's folder, as every command does."""

    def load(**data):
        places = {"root": tmp_path / "dota", "cache": tmp_path / "chips", "classes": TWO}
        return load_data(recipe(**(places | data)))

    return load


def recipe(**data):
    return validate(Recipe, {"name": "x", "data": {"source": "dota", **data}})


@pytest.fixture
def root(tmp_path):
    return tmp_path / "dota"


def cut(name, left, top, right, bottom):
    return pixels(name)[top:bottom, left:right].transpose(2, 0, 1)


# --- chips ------------------------------------------------------------------------------------


def test_objects_of_train_are_trained_with_and_those_of_val_are_the_test(load, root):
    dota(root, ["P0", "P1"], ["P7"])
    data = load()
    assert data.classes == ("plane", "ship")
    assert [band.name for band in data.bands] == ["R", "G", "B"]
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    assert data.test.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(data.train.read(2), cut("P1", 10, 20, 30, 32))
    np.testing.assert_array_equal(data.test.read(1), cut("P7", 40, 5, 48, 15))


def test_archives_as_downloaded_do(load, root):
    dota(root, ["P0"], ["P7"])
    pack(root)
    assert not (root / "train").is_dir() or not list((root / "train").iterdir())
    assert len(load().train) == 2


def test_chips_are_named_as_in_the_index_files_of_the_paper(load, root, tmp_path):
    dota(root, ["P0"], ["P7"])
    load()
    table = pd.read_csv(tmp_path / "chips" / "chips.csv")
    assert table.columns.tolist() == ["path", "label", "split"]
    assert table["path"].tolist() == [
        "train/ship/P0_10_20_30_32.png", "train/plane/P0_40_5_48_15.png",
        "val/ship/P7_10_20_30_32.png", "val/plane/P7_40_5_48_15.png",
    ]  # fmt: skip
    assert table["split"].tolist() == ["train", "train", "val", "val"]


@pytest.mark.parametrize(
    ("margin", "expected"),
    [(0.25, (5, 17, 35, 35)), (0.5, (0, 14, 40, 38)), (2.0, (0, 0, 60, 40))],
)
def test_a_margin_is_a_share_of_the_box_and_ends_at_the_edge(load, root, margin, expected):
    dota(root, ["P0"], ["P7"])
    data = load(margin=margin)
    np.testing.assert_array_equal(data.train.read(0), cut("P0", *expected))


def test_a_tilted_object_is_cut_along_the_rectangle_around_it(load, root):
    tilted = (20.4, 5, 35, 19.6, 20, 34.5, 5.5, 20)
    objects = {"P0": [(tilted, "ship"), EVERYWHERE[1]], "P7": EVERYWHERE}
    dota(root, ["P0"], ["P7"], objects)
    np.testing.assert_array_equal(load().train.read(0), cut("P0", 5, 5, 35, 35))


@pytest.mark.parametrize(
    ("first", "turn"), [(0, 0), (1, 1), (2, 2), (3, 3)], ids=["up", "right", "down", "left"]
)
def test_an_oriented_chip_has_the_object_s_first_side_at_the_top(load, root, first, turn):
    """Quarter turns leave pixels as they are, so that the chip is known exactly."""
    corners = np.roll(np.reshape(BOX, (4, 2)), -first, axis=0).ravel()
    dota(root, ["P0"], ["P7"], {"P0": [(corners, "ship"), EVERYWHERE[1]], "P7": EVERYWHERE})
    expected = np.rot90(cut("P0", 10, 20, 30, 32), turn, axes=(1, 2))
    np.testing.assert_array_equal(load(boxes="oriented").train.read(0), expected)


def test_an_oriented_chip_of_a_tilted_object_has_its_size_and_pixels(load, root):
    """A 3-4-5 rectangle, against bilinear interpolation by SciPy."""
    from scipy.ndimage import map_coordinates

    across, along = np.array([0.8, 0.6]), np.array([-0.6, 0.8])
    start = np.array([25.0, 8.0])
    corners = np.array([start, start + 15 * across, start + 15 * across + 10 * along])
    corners = np.vstack([corners, start + 10 * along])
    dota(root, ["P0"], ["P7"], {"P0": [(corners.ravel(), "ship"), EVERYWHERE[1]], "P7": EVERYWHERE})
    read = load(boxes="oriented").train.read(0)
    assert read.shape == (3, 10, 15)
    y, x = np.mgrid[:10, :15] + 0.5
    points = start[:, None, None] + across[:, None, None] * x + along[:, None, None] * y - 0.5
    image = pixels("P0").astype(np.float64)
    for band in range(3):
        expected = map_coordinates(image[..., band], [points[1], points[0]], order=1)
        assert np.abs(read[band] - expected).max() <= 1  # rounded to whole numbers


def test_beyond_the_image_an_oriented_chip_has_no_data(load, root):
    dota(root, ["P0"], ["P7"])
    read = load(boxes="oriented", margin=1.0).train.read(0)
    assert read.shape == (3, 36, 60)
    inside = cut("P0", 0, 8, 50, 40)
    np.testing.assert_array_equal(read[:, :32, 10:], inside)
    assert np.isnan(read[:, :, :10]).all()
    assert np.isnan(read[:, 32:]).all()


def test_small_objects_and_other_classes_are_left_out(load, root):
    narrow = ((0, 0, 5, 0, 5, 30, 0, 30), "ship")
    dota(root, ["P0"], ["P7"], {"P0": [narrow, (BOX, "bridge"), *EVERYWHERE], "P7": EVERYWHERE})
    data = load(minimum_side=5.5)
    assert data.train.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(data.train.read(0), cut("P0", 10, 20, 30, 32))


@pytest.mark.parametrize(("boxes", "ships"), [("horizontal", 2), ("oriented", 1)])
def test_the_shorter_side_is_that_of_the_kind_of_box(load, root, boxes, ships):
    thin = (5, 8, 8, 5, 35, 32, 32, 35)  # about 4 pixels wide, in a square of 30
    dota(root, ["P0"], ["P7"], {"P0": [(thin, "ship"), *EVERYWHERE], "P7": EVERYWHERE})
    assert load(boxes=boxes, minimum_side=6).train_counts.tolist() == [1, ships]


def test_two_objects_in_one_rectangle_are_two_chips(load, root, tmp_path):
    objects = {"P0": [(BOX, "ship"), (BOX, "ship"), (BOX, "plane")], "P7": EVERYWHERE}
    dota(root, ["P0"], ["P7"], objects)
    data = load()
    assert data.train_counts.tolist() == [1, 2]
    assert len({data.train.describe(index) for index in range(3)}) == 3


def test_an_object_outside_the_image_is_left_out(load, root):
    outside = (100, 100, 120, 100, 120, 110, 100, 110)
    objects = {"P0": [*EVERYWHERE, (outside, "ship")], "P7": EVERYWHERE}
    dota(root, ["P0"], ["P7"], objects)
    assert len(load().train) == 2


def test_a_long_tail_is_drawn_as_from_any_table(load, root):
    dota(root, ["P0", "P1", "P2", "P3"], ["P7"])
    assert sorted(load(imbalance=4).train_counts.tolist()) == [1, 4]


def test_later_versions_bring_their_classes(load, root):
    objects = {name: [(BOX, "helipad"), EVERYWHERE[1]] for name in ("P0", "P7")}
    dota(root, ["P0"], ["P7"], objects, version="2.0")
    data = load(version="2.0", classes=["helipad", "plane"])
    assert data.train_counts.tolist() == [1, 1]


# --- the cache --------------------------------------------------------------------------------


def test_a_stopped_cut_goes_on_with_the_image_it_was_at(load, root, tmp_path, monkeypatch):
    dota(root, ["P0", "P1", "P2"], ["P7"])
    whole = load(cache=tmp_path / "whole")
    save, saved = Image.Image.save, []

    def dying(image, path, *arguments, **options):
        saved.append(path)
        if len(saved) == 4:  # in the middle of the second image's second chip
            path.write_bytes(b"half a chip")
            raise KeyboardInterrupt
        save(image, path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert not (tmp_path / "chips" / "chips.csv").exists()
    for chip in (tmp_path / "chips").rglob("[!.]*.png"):
        Image.open(chip).load()
    first = tmp_path / "chips" / "train" / "ship" / "P0_10_20_30_32.png"
    before = first.stat().st_mtime_ns
    resumed = load()
    assert first.stat().st_mtime_ns == before
    assert resumed.train.labels.tolist() == whole.train.labels.tolist()
    for index in range(6):
        np.testing.assert_array_equal(resumed.train.read(index), whole.train.read(index))


def test_a_finished_cache_does_not_need_dota(load, root):
    dota(root, ["P0"], ["P7"])
    before = load().train.read(0)
    shutil.rmtree(root)
    np.testing.assert_array_equal(load().train.read(0), before)


@pytest.mark.parametrize(
    "change",
    [{"margin": 0.1}, {"boxes": "oriented"}, {"minimum_side": 2}, {"classes": ["ship", "plane"]}],
)
def test_a_cache_of_other_settings_is_refused(load, root, change):
    dota(root, ["P0"], ["P7"])
    load()
    with pytest.raises(DataError, match=rf"other settings \(data\.{next(iter(change))} "):
        load(**change)


def test_a_damaged_cache_is_one_line(load, root, tmp_path):
    dota(root, ["P0"], ["P7"])
    load()
    (tmp_path / "chips" / "settings.json").write_text("{")
    with pytest.raises(DataError, match=r"settings\.json' is damaged"):
        load()


def test_the_log_tells_how_far_the_cut_is(load, root, caplog):
    dota(root, [f"P{number}" for number in range(100)], ["P7"])
    with caplog.at_level(logging.INFO, "rsmeta"):
        load()
    assert "DOTA train: 0 of 100 images are cut already" in caplog.text
    assert "DOTA train: 100 of 100 images" in caplog.text
    assert "DOTA: 202 chips in" in caplog.text


# --- what goes wrong --------------------------------------------------------------------------


def test_a_missing_dota_is_one_line_with_its_root(load, root):
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    assert f"DOTA is not in data.root '{root}'" in message
    assert "data.download: true" in message


def test_a_missing_table_of_samples_is_one_line(load, root):
    dota(root, ["P0"], ["P7"])
    pack(root)
    (root / "samples.csv").unlink()
    with pytest.raises(DataError, match=r"samples\.csv"):
        load()


def test_a_split_without_images_is_told(load, root):
    dota(root, ["P0"], [])
    with pytest.raises(DataError, match=r"lists no image of split val, version 1\.0"):
        load()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("images/P0.png", b"no image"),
        ("annotations/version1.0/P0.txt", b"1 2 3\n"),
        ("annotations/version1.0/P0.txt", b"1 2 3 4 5 6 7 8 teapot 0\n"),
    ],
)
def test_a_damaged_image_or_annotation_is_named(load, root, file, content):
    dota(root, ["P0"], ["P7"])
    (root / "train" / file).write_bytes(content)
    with pytest.raises(DataError, match="image train/P0 of DOTA") as caught:
        load()
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_one_line(load, root, tmp_path):
    dota(root, ["P0"], ["P7"])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.cache"):
        load(cache=tmp_path / "file" / "chips")


# --- the recipe -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"classes": ["ship", "teapot"]}, ["no class teapot", "small-vehicle"]),
        ({"classes": ["ship", "helipad"]}, ["DOTA 1.0 has no class helipad"]),
        ({"classes": ["ship", "ship"]}, ["stands twice"]),
        ({"sensor": "sar"}, ["sensor 'sar': DOTA's images are rgb"]),
        ({"bands": ["R"]}, ["data.bands"]),
        ({"crop": 32}, ["data.crop"]),
    ],
)
def test_a_section_that_cannot_be_meant_is_one_line(data, parts):
    with pytest.raises(RecipeError) as caught:
        recipe(root="r", cache="c", **data)
    [line] = caught.value.problems
    assert all(part in line for part in parts)


COUNTS = dict(zip(PAPER_CLASSES, (
    415, 515, 2047, 325, 5983, 630, 16969, 8055, 399, 28068, 26126, 326, 5029, 1736, 2367,
), strict=True))  # fmt: skip
"""Training objects of DOTA 1.0 (Xia et al. 2018)."""

PAPER_GROUPS = {
    "head": {"ship", "large-vehicle", "small-vehicle"},
    "medium": {"plane", "harbor", "storage-tank", "tennis-court", "bridge", "swimming-pool"},
    "tail": {
        "helicopter", "soccer-ball-field", "roundabout", "basketball-court", "baseball-diamond",
        "ground-track-field",
    },
}  # fmt: skip
"""Split file of debLoRA (Tian et al. 2024), whose DOTA chips MetaPEFT uses."""


def test_the_recipe_validates_on_a_miniature_and_has_the_paper_s_groups(
    tmp_path, monkeypatch, request
):
    objects = {"P0": [(BOX, name) for name in PAPER_CLASSES]}
    dota(tmp_path / "dota", ["P0"], ["P7"], objects | {"P7": objects["P0"]})
    monkeypatch.setenv("DOTA", str(tmp_path / "dota"))
    monkeypatch.setenv("DOTA_CHIPS", str(tmp_path / "chips"))
    path = request.config.rootpath / "recipes" / "dota_chips.yaml"
    whole = read_recipe(Recipe, path)
    validated = validate_recipe(whole)
    assert validated.inspected.data.classes == PAPER_CLASSES
    groups = assign_groups(np.array([COUNTS[name] for name in PAPER_CLASSES]), whole.long_tail)
    for group, names in PAPER_GROUPS.items():
        assert {n for n, g in zip(PAPER_CLASSES, groups, strict=True) if g == group} == names


@pytest.mark.parametrize("content", ["[1, 2]", "3", "\x00"])
def test_settings_of_another_kind_are_one_line(load, root, tmp_path, content):
    dota(root, ["P0"], ["P7"])
    load()
    (tmp_path / "chips" / "settings.json").write_text(content)
    with pytest.raises(DataError, match=r"settings\.json' is damaged"):
        load()


def test_a_chip_that_cannot_be_written_leaves_no_half_of_it(load, root, tmp_path, monkeypatch):
    dota(root, ["P0"], ["P7"])

    def full(image, path, *arguments, **options):
        path.write_bytes(b"half a chip")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match="No space left"):
        load()
    files = [path.name for path in (tmp_path / "chips").rglob("*") if path.is_file()]
    assert files == ["settings.json"]
