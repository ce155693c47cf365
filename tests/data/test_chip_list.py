import json

import numpy as np
import pytest
from PIL import Image

from rsmeta.data.inspection import inspect_data
from rsmeta.data.sources import load_data
from rsmeta.errors import DataError, RecipeError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate

LINES = {
    "train.txt": ["train/big ship.png 1", "train/b.png 0", "train/c.png 1", "train/d.png 2"],
    "test.txt": ["val/e.png 2", "val/f.png 0"],
}


@pytest.fixture
def files(tmp_path):
    """Two lists and their RGB chips; chip number i is filled with the value i."""
    number = 0
    for name, lines in LINES.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        for line in lines:
            path = tmp_path / "images" / line.rpartition(" ")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            number += 1
            Image.fromarray(np.full((8, 12, 3), number, dtype=np.uint8)).save(path)
    return tmp_path


@pytest.fixture
def load(files):
    """Load the lists, with keys of the data section replaced."""

    def load(**data):
        lists = {name: files / f"{name}.txt" for name in ("train", "test")}
        section = {"source": "list", "root": files / "images", "sensor": "rgb", **lists, **data}
        return load_data(validate(Recipe, {"name": "x", "data": section}))

    return load


def refused(load, **data):
    with pytest.raises(DataError) as caught:
        load(**data)
    return str(caught.value).splitlines()


def test_lists_give_chips_in_their_order_with_numbers_as_classes(load):
    data = load()
    assert data.classes == ("0", "1", "2")
    assert data.train.labels.tolist() == [1, 0, 1, 2]
    assert data.test.labels.tolist() == [2, 0]
    assert [float(data.train.read(i).mean()) for i in range(4)] == [1, 2, 3, 4]
    assert [float(data.test.read(i).mean()) for i in range(2)] == [5, 6]
    assert data.train.describe(0).endswith("images/train/big ship.png")
    assert data.imbalance_factor == 2


@pytest.mark.parametrize(
    "line",
    ["train/big ship.png\t1", "  train/big ship.png 1  ", "train/big ship.png   1"],
)
def test_blanks_around_path_and_label_do_not_matter(load, files, line):
    (files / "train.txt").write_text("\n".join([line, "", *LINES["train.txt"][1:]]))
    data = load()
    assert data.train.labels.tolist() == [1, 0, 1, 2]
    assert data.train.describe(0).endswith("big ship.png")


def test_a_long_tail_can_be_drawn_from_a_list(load):
    data = load(imbalance=1)
    assert data.train_counts.tolist() == [1, 1, 1]


# --- names ------------------------------------------------------------------------------------

CATEGORIES = [{"id": 2, "name": "Ursus arctos"}, {"id": 0, "name": "a"}, {"id": 1, "name": "b"}]


@pytest.mark.parametrize(
    ("layout", "text", "classes"),
    [
        ("name", "cargo\nfishing boat\ntanker", ("cargo", "fishing boat", "tanker")),
        ("name", "cargo\r\nother\r\ntanker\r\n\r\n", ("cargo", "other", "tanker")),
        ("folder_name", "n1 arch\nn2 tree house\nn3 yard\n", ("arch", "tree house", "yard")),
        ("categories", json.dumps(CATEGORIES), ("a", "b", "Ursus arctos")),
    ],
)
def test_classes_are_named_in_the_layouts_of_the_published_sets(load, files, layout, text, classes):
    (files / "names").write_text(text)
    data = load(class_names={"file": files / "names", "layout": layout})
    assert data.classes == classes
    assert data.train.labels.tolist() == [1, 0, 1, 2]


def test_the_recipe_can_name_the_labels_itself(load):
    assert load(classes=["x", "y", "z"]).classes == ("x", "y", "z")


@pytest.mark.parametrize(
    ("layout", "text", "message"),
    [
        ("name", "a\n\nc\n", "line 2 has no name"),
        ("name", "a\nb\na\n", "'a' stands twice"),
        ("folder_name", "x a\nb\ny c\n", "line 2 has no name (data.class_names.layout folder_name"),
        ("categories", "{", "no categories.json"),
        ("categories", '[{"id": 0}]', "no categories.json"),
        ("categories", '[{"id": 1, "name": "a"}]', "the 'id' 0 is missing"),
    ],
)
def test_a_damaged_file_of_names_is_one_line(load, files, layout, text, message):
    (files / "names").write_text(text)
    [line] = refused(load, class_names={"file": files / "names", "layout": layout})
    assert message in line
    assert str(files / "names") in line


# --- bad lists --------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["train/b.png", "3", "train/b.png x", "train/b.png -1", "a 1.5"])
def test_every_malformed_line_is_told_with_its_number(load, files, bad):
    (files / "train.txt").write_text("\n".join(["train/b.png 0", bad, "train/c.png 1", bad]))
    lines = refused(load)
    assert all(f"line {number}:" in line for line, number in zip(lines, (2, 4), strict=True))
    assert all(f"'{bad}' is not a path" in line for line in lines)


def test_labels_without_a_name_and_missing_chips_are_told_with_their_lines(load, files):
    (files / "names").write_text("a\nb\n")
    (files / "images" / "train" / "c.png").unlink()
    lines = refused(load, class_names={"file": files / "names"})
    assert len(lines) == 2
    assert "line 3: chip" in lines[0]
    assert "c.png' does not exist" in lines[0]
    assert "line 4: label 2 has no name; the 2 classes have labels 0 to 1" in lines[1]


def test_a_test_label_that_is_no_class_is_told(load, files):
    (files / "test.txt").write_text("val/e.png 3\n")
    [line] = refused(load)
    assert "test.txt', line 1: label 3 has no name" in line


def test_a_label_without_training_chips_is_told(load, files):
    (files / "train.txt").write_text("train/b.png 0\ntrain/d.png 2\n")
    with pytest.raises(DataError, match="class '1' has no training chips"):
        inspect_data(load(), "none", "stop")


def test_a_list_of_many_problems_is_cut(load, files):
    (files / "train.txt").write_text("".join(f"train/{i}.png {i % 3}\n" for i in range(50)))
    lines = refused(load)
    assert len(lines) == 21
    assert lines[-1].endswith("30 more such lines")


@pytest.mark.parametrize("key", ["train", "test", "root"])
def test_missing_files_are_told(load, files, key):
    [line] = refused(load, **{key: files / "nowhere"})
    assert f"'{files / 'nowhere'}' does not exist" in line


def test_empty_lists_and_lists_that_are_no_text_are_told(load, files):
    (files / "train.txt").write_text("\n \n")
    assert "names no chips" in refused(load)[0]
    (files / "train.txt").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as text" in refused(load)[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"classes": ["a", "b"], "class_names": {"file": "x"}}, "both name the labels"),
        ({"photo": {"mode": "grey"}}, "grey does not give the 3 bands"),
        ({"photo": {}, "sensor": "sentinel1"}, "rgb does not give the 4 bands"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(load, data, message):
    with pytest.raises(RecipeError, match=message):
        load(**data)


# --- photographs ------------------------------------------------------------------------------

KINDS = ["L", "P", "RGB", "RGBA", "CMYK", "LA", "1"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["rgb", "grey"])
def test_photographs_of_every_kind_read_as_pillow_converts_them(load, files, kind, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    image = Image.fromarray(pixels).convert(kind)
    suffix = "tif" if kind == "CMYK" else "png"
    image.save(files / "images" / f"odd.{suffix}")
    lines = [f"odd.{suffix} 0", *LINES["train.txt"]]
    (files / "train.txt").write_text("\n".join(lines))
    bands = {"sensor": "rgb"} if mode == "rgb" else {"sensor": "sar-amplitude", "bands": ["HH"]}
    data = load(photo={"mode": mode}, **bands)
    expected = np.asarray(image.convert("RGB" if mode == "rgb" else "L"), dtype=np.float32)
    read = data.train.read(0)
    assert read.dtype == np.float32
    assert read.shape == ((3, 8, 12) if mode == "rgb" else (1, 8, 12))
    np.testing.assert_array_equal(read.transpose(1, 2, 0), np.atleast_3d(expected))


@pytest.mark.parametrize("shape", [(40, 40), (60, 33), (31, 90)])
def test_squares_are_those_of_torchvision(load, files, shape):
    from torchvision.transforms import CenterCrop, Compose, Resize

    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) * 2
    image = Image.fromarray(np.stack([ramp, ramp.max() - ramp, ramp], -1).astype(np.uint8))
    image.save(files / "images" / "train" / "b.png")
    read = load(photo={"square": 32}, crop=28).train.read(1)
    expected = np.asarray(Compose([Resize(32), CenterCrop(28)])(image), dtype=np.float32)
    assert read.shape == (3, 28, 28)
    # Less than a pixel apart where the sides do not divide evenly: two grey levels a pixel.
    assert np.abs(read.transpose(1, 2, 0) - expected).max() <= 3


def test_photographs_of_more_than_eight_bits_are_refused(load, files):
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(
        files / "images" / "train" / "b.png"
    )
    with pytest.raises(DataError, match=r"kind I;16, not of 8 bits; leave data\.photo out"):
        load(photo={}).train.read(1)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_damaged_photographs_are_one_line(load, files, content):
    (files / "images" / "train" / "b.png").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.png' cannot be read") as caught:
        load(photo={}).train.read(1)
    assert "\n" not in str(caught.value)


def test_a_truncated_photograph_is_told(load, files):
    path = files / "images" / "train" / "b.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="cannot be read"):
        load(photo={}).train.read(1)


def test_a_photograph_smaller_than_the_crop_is_told(load):
    with pytest.raises(DataError, match=r"8 x 12 pixels, fewer than data\.crop 9"):
        load(photo={}, crop=9).train.read(0)


@pytest.mark.parametrize("label", ["65534", "99999999999", "9" * 5000])
def test_a_label_beyond_all_class_maps_is_a_malformed_line(load, files, label):
    """A list of time stamps in the place of labels would name billions of classes."""
    (files / "train.txt").write_text(f"train/b.png 0\ntrain/c.png {label}\n")
    [line] = refused(load)
    assert "line 2:" in line
    assert line.endswith("a label from 0 to 65533")


def test_a_byte_order_mark_is_no_part_of_the_first_path(load, files):
    text = (files / "train.txt").read_text()
    (files / "train.txt").write_text(text, encoding="utf-8-sig")
    assert len(load().train) == 4


def test_categories_that_name_a_class_twice_are_one_line(load, files):
    ids = [{"id": number, "name": name} for number, name in ((0, "a"), (1, "b"), (1, "c"))]
    (files / "names").write_text(json.dumps(ids))
    [line] = refused(load, class_names={"file": files / "names", "layout": "categories"})
    assert "an 'id' stands twice" in line
