import numpy as np
import pandas as pd
import pytest

from rsmeta.data.chips import centre_crop
from rsmeta.data.inspection import inspect_data
from rsmeta.data.sources import load_data
from rsmeta.errors import DataError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate
from rsmeta.validation import validate_recipe


@pytest.fixture
def load():
    """Load the data section of a recipe, as every command does."""

    def load(**data):
        values = {"name": "x", "data": {"sensor": "sar-amplitude", "bands": ["HH"], **data}}
        return load_data(validate(Recipe, values))

    return load


def chip(value=1, bands=1, size=8, dtype="uint8"):
    return np.full((bands, size, size), value, dtype=dtype)


@pytest.fixture
def folder(write_chip, tmp_path):
    """Two classes, three training and two test chips; each chip holds its own number."""
    for number, name in enumerate(
        ("train/b/1.tif", "train/a/2.tif", "train/b/0.tif", "test/b/x.tif", "test/a/y.tif")
    ):
        write_chip(f"chips/{name}", chip(number + 1))
    return tmp_path / "chips"


@pytest.fixture
def rows(write_chip):
    """A table of four training and two test chips."""
    names = ["one.tif", "two.tif", "three.tif", "four.tif", "five.tif", "six.tif"]
    for number, name in enumerate(names):
        write_chip(f"images/{name}", chip(number + 1))
    return pd.DataFrame(
        {
            "path": [f"images/{name}" for name in names],
            "label": ["001", "NA", "001", "NA", "NA", "001"],
            "split": ["train"] * 4 + ["test"] * 2,
            "used": [1, 1, 0, 1, 0, 0],
        }
    )


def stop(data):
    """What training does with chips it cannot use."""
    inspect_data(data, clip="none", on_error="stop")


def values(chips):
    return [float(chips.read(index).max()) for index in range(len(chips))]


# --- folders ----------------------------------------------------------------------------------


def test_a_folder_gives_chips_sorted_by_class_and_name(load, folder):
    data = load(source="folder", root=str(folder))
    assert data.classes == ("a", "b")
    assert data.train.labels.tolist() == [0, 1, 1]
    assert values(data.train) == [2, 3, 1]
    assert values(data.test) == [5, 4]
    assert data.train_counts.tolist() == [1, 2]
    assert data.train.describe(0).endswith("chips/train/a/2.tif")


def test_a_folder_may_name_its_splits_and_the_order_of_classes(load, folder):
    data = load(
        source="folder", root=str(folder), train_split="test", test_split="train",
        classes=["b", "a"],
    )  # fmt: skip
    assert data.classes == ("b", "a")
    assert data.train.labels.tolist() == [1, 0]
    assert len(data.test) == 3


def test_files_that_are_no_rasters_are_passed_over(load, folder):
    (folder / "train" / "a" / "Thumbs.db").write_text("x")
    (folder / "train" / "a" / "2.tif.aux.xml").write_text("<x/>")
    (folder / "train" / "README.txt").write_text("x")
    assert len(load(source="folder", root=str(folder)).train) == 3


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_split_folder_is_told_with_its_layout(load, folder, missing):
    (folder / missing).rename(folder / "elsewhere")
    with pytest.raises(DataError, match=rf"{missing}' does not exist; expected FOLDER/CLASS"):
        load(source="folder", root=str(folder))


def test_an_empty_split_folder_is_told(load, folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty' holds no chips"):
        load(source="folder", root=str(folder), test_split="empty")


def test_an_unknown_label_in_the_test_names_chip_label_and_classes(load, folder, write_chip):
    path = write_chip("chips/test/c/z.tif", chip())
    with pytest.raises(DataError) as caught:
        stop(load(source="folder", root=str(folder)))
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in (str(path), "'c'", "a, b"))


def test_a_class_without_training_chips_is_named(load, folder):
    with pytest.raises(DataError, match="class 'ship' has no training chips"):
        stop(load(source="folder", root=str(folder), classes=["a", "ship", "b"]))


def test_one_class_alone_cannot_be_learned(load, write_chip, tmp_path):
    for split in ("train", "test"):
        write_chip(f"lone/{split}/only/0.tif", chip())
    with pytest.raises(DataError, match="only one class, 'only'"):
        stop(load(source="folder", root=str(tmp_path / "lone")))


# --- tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chips.csv", "chips.parquet"])
def test_a_table_gives_chips_in_its_order_and_labels_as_written(load, table, rows, name):
    data = load(source="table", file=str(table(rows, name)))
    assert data.classes == ("001", "NA")
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert values(data.train) == [1, 2, 3, 4]
    assert values(data.test) == [5, 6]


@pytest.mark.parametrize("name", ["chips.csv", "chips.parquet"])
@pytest.mark.parametrize(
    "flag", [[1, 1, 0, 1, 0, 0], [True, True, False, True, False, False], ["1", "true", "0"] * 2]
)
def test_a_flag_column_thins_the_training_chips_but_not_the_test(load, table, rows, name, flag):
    frame = rows.assign(used=flag)
    data = load(source="table", file=str(table(frame, name)), train_flag="used")
    kept = [n for n, f in enumerate(flag[:4], 1) if str(f).lower() in ("1", "true")]
    assert values(data.train) == kept
    assert len(data.test) == 2


@pytest.mark.parametrize("bad", ["yes", "2", ""])
def test_a_flag_that_is_neither_true_nor_false_is_told(load, table, rows, bad):
    frame = rows.assign(used=["1", "1", bad, "0", "0", "0"])
    with pytest.raises(DataError, match=r"in column 'used' is no flag; allowed: 0, 1, true, false"):
        load(source="table", file=str(table(frame)), train_flag="used")


def test_columns_and_splits_may_have_other_names(load, table, rows):
    frame = rows.rename(columns={"path": "file", "label": "class", "split": "fold"})
    frame["fold"] = ["1", "1", "2", "2", "3", "3"]
    data = load(
        source="table", file=str(table(frame)), path_column="file", label_column="class",
        split_column="fold", train_split="1", test_split="3",
    )  # fmt: skip
    assert values(data.train) == [1, 2]
    assert values(data.test) == [5, 6]


def test_absolute_paths_stay_where_they_point(load, table, rows, tmp_path):
    frame = rows.assign(path=[str(tmp_path / path) for path in rows["path"]])
    (tmp_path / "sub").mkdir()
    data = load(source="table", file=str(table(frame, "sub/chips.csv")))
    assert values(data.test) == [5, 6]


@pytest.mark.parametrize("column", ["path", "label", "split", "used"])
def test_a_missing_column_is_named_with_those_there_are(load, table, rows, column):
    file = table(rows.drop(columns=column))
    with pytest.raises(DataError) as caught:
        load(source="table", file=str(file), train_flag="used")
    message = str(caught.value)
    assert f"no column '{column}'" in message
    assert all(other in message for other in set(rows) - {column})


@pytest.mark.parametrize("column", ["path", "label", "split"])
@pytest.mark.parametrize("name", ["chips.csv", "chips.parquet"])
def test_an_empty_cell_is_told_with_its_row(load, table, rows, column, name):
    rows.loc[2, column] = None
    with pytest.raises(DataError, match="row 3 lacks a path, label or split"):
        load(source="table", file=str(table(rows, name)))


@pytest.mark.parametrize("split", ["train_split", "test_split"])
def test_an_empty_split_is_told_with_its_name(load, table, rows, split):
    with pytest.raises(DataError, match="no chips with split = 'nope'"):
        load(source="table", file=str(table(rows)), **{split: "nope"})


def test_a_flag_that_drops_every_training_chip_is_told(load, table, rows):
    with pytest.raises(DataError, match="no chips with split = 'train'"):
        load(source="table", file=str(table(rows.assign(used=0))), train_flag="used")


def test_a_missing_table_is_told(load, tmp_path):
    with pytest.raises(DataError, match=r"nope\.csv' does not exist \(data\.file\)"):
        load(source="table", file=str(tmp_path / "nope.csv"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b""), ("a.csv", b"path\n\xff\xfe\n"), ("a.csv", b'a,b\n"1'), ("a.parquet", b"no")],
)
def test_a_damaged_table_is_one_line(load, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="cannot be read") as caught:
        load(source="table", file=str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_unknown_test_label_of_a_table_is_told(load, table, rows):
    rows.loc[5, "label"] = "002"
    with pytest.raises(DataError, match="label '002', which is not one of the training classes"):
        stop(load(source="table", file=str(table(rows))))


# --- chips ------------------------------------------------------------------------------------


@pytest.fixture
def load_chip(load, write_chip, table):
    """Load a data set whose first training chip is the given raster."""

    def load_chip(values, name="chip.tif", *, config=None, **options):
        write_chip(name, values, **options)
        write_chip("other.tif", values)
        splits = ["train", "train", "test", "test"]
        frame = pd.DataFrame(
            {"path": [name, "other.tif"] * 2, "label": ["a", "b"] * 2, "split": splits}
        )
        return load(source="table", file=str(table(frame)), **(config or {}))

    return load_chip


BANDS = {
    1: {"sensor": "sar-amplitude", "bands": ["HH"]},
    2: {"sensor": "sentinel1", "bands": ["VV", "VH"]},
    3: {"sensor": "rgb", "bands": None},
    13: {"sensor": "sentinel2-l1c", "bands": None},
}


@pytest.mark.parametrize("bands", [1, 2, 3, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_chips_of_any_type_and_number_of_bands_read_as_written(load_chip, bands, dtype):
    rng = np.random.default_rng(0)
    high = 255 if dtype == "uint8" else 30_000
    written = rng.integers(0, high, (bands, 9, 11)).astype(dtype)
    data = load_chip(written, config=BANDS[bands])
    read = data.train.read(0)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, written.astype(np.float32))
    assert len(data.bands) == bands
    assert data.tile_size == 9


def test_a_png_reads_like_a_geotiff(load_chip):
    written = np.random.default_rng(0).integers(0, 255, (3, 8, 8)).astype(np.uint8)
    data = load_chip(written, "chip.png", config=BANDS[3])
    np.testing.assert_array_equal(data.train.read(0), written)


def test_nodata_reads_as_nan(load_chip):
    written = chip(5, dtype="int16")
    written[0, 2, 3] = -999
    read = load_chip(written, nodata=-999).train.read(0)
    assert np.isnan(read[0, 2, 3])
    assert np.isnan(read).sum() == 1


@pytest.mark.parametrize(("size", "crop", "start"), [(10, 8, 1), (11, 8, 1), (8, 8, 0)])
def test_the_crop_is_the_centre(load_chip, size, crop, start):
    written = np.arange(size * size, dtype=np.uint8).reshape(1, size, size)
    read = load_chip(written, config={"crop": crop}).train.read(0)
    part = slice(start, start + crop)
    np.testing.assert_array_equal(read, written[:, part, part])


def test_a_crop_larger_than_the_chip_is_told_with_both_sizes(load_chip):
    data = load_chip(np.ones((1, 20, 12), dtype=np.uint8), config={"crop": 16})
    with pytest.raises(DataError, match=r"chip\.tif' has 20 x 12 pixels, fewer than data\.crop 16"):
        data.train.read(0)


@pytest.mark.parametrize("bands", [2, 3])
def test_a_wrong_number_of_bands_is_told_with_both_numbers(load_chip, bands):
    data = load_chip(chip(bands=bands))
    with pytest.raises(DataError, match=rf"chip\.tif' has {bands} bands; the recipe names 1"):
        data.train.read(0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_chip_without_any_valid_pixel_is_named(load_chip, value):
    data = load_chip(chip(value, dtype="float32"))
    with pytest.raises(DataError, match=r"chip\.tif' has no valid pixel"):
        stop(data)


def test_a_missing_chip_is_named_when_it_is_read(load, table, rows):
    rows.loc[0, "path"] = "images/gone.tif"
    data = load(source="table", file=str(table(rows)))
    with pytest.raises(DataError, match=r"gone\.tif' does not exist"):
        data.train.read(0)


def test_a_damaged_chip_is_one_line(load, table, rows, tmp_path):
    (tmp_path / "images" / "one.tif").write_bytes(b"II*\0 and no more")
    data = load(source="table", file=str(table(rows)))
    with pytest.raises(DataError, match=r"one\.tif") as caught:
        data.train.read(0)
    assert "\n" not in str(caught.value)


def test_validation_lists_every_unusable_chip_one_a_line(table, rows, tmp_path, write_chip):
    rows.loc[0, "path"] = "images/gone.tif"
    write_chip("images/five.tif", chip(bands=2))
    data = {"source": "table", "file": str(table(rows)), "sensor": "sar-amplitude", "bands": ["HH"]}
    with pytest.raises(DataError) as caught:
        validate_recipe(validate(Recipe, {"name": "x", "data": data}))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "gone.tif" in lines[0]
    assert "five.tif" in lines[1]


def test_a_chip_is_read_once_and_kept(load, table, rows, tmp_path):
    data = load(source="table", file=str(table(rows)))
    before = data.train.read(0).copy()
    (tmp_path / "images" / "one.tif").unlink()
    np.testing.assert_array_equal(data.train.read(0), before)


def test_the_tile_is_the_most_frequent_shorter_side(load, table, rows, write_chip):
    write_chip("images/one.tif", np.ones((1, 40, 30), dtype=np.uint8))
    assert load(source="table", file=str(table(rows))).tile_size == 8


def test_hidden_copies_are_neither_chips_nor_classes(load, folder, write_chip):
    """Jupyter keeps `.ipynb_checkpoints`, macOS a `._name` beside each file."""
    write_chip("chips/train/.ipynb_checkpoints/0-checkpoint.tif", chip(9))
    write_chip("chips/train/a/._2.tif", chip(9))
    (folder / "train" / "b" / "folder.tif").mkdir()
    data = load(source="folder", root=folder)
    assert data.classes == ("a", "b")
    assert values(data.train) == [2, 3, 1]


def test_the_middle_of_a_chip_does_not_keep_all_of_it_in_memory():
    """What is cached counts by its own bytes."""
    chip = np.arange(2 * 9 * 7, dtype=np.float32).reshape(2, 9, 7)
    middle = centre_crop(chip, 3, "chip")
    np.testing.assert_array_equal(middle, chip[:, 3:6, 2:5])
    assert middle.base is None
