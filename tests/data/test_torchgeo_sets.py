"""Every data set goes through the real class of TorchGeo."""

import h5py
import numpy as np
import pytest
import rasterio
from dota_files import dota
from PIL import Image
from torchgeo_files import (
    EUROSAT_CLASSES,
    EUROSAT_FOLDER,
    eurosat,
    patternnet,
    photographs,
    quakeset,
    resisc45,
    so2sat,
    split_lists,
    ucmerced,
)

from rsmeta.data.inspection import inspect_data
from rsmeta.data.sources import load_data
from rsmeta.data.torchgeo_sets import draw_held_out
from rsmeta.errors import DataError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe, validate
from rsmeta.validation import validate_recipe

EUROSAT_BANDS = [f"B{n:02d}" for n in range(1, 13)] + ["B8A"]


def recipe(**data):
    return validate(Recipe, {"name": "x", "data": {"source": "torchgeo", **data}})


@pytest.fixture
def load(tmp_path):
    """Load a data set from the test's folder, as every command does."""
    return lambda dataset, **data: load_data(recipe(dataset=dataset, root=tmp_path, **data))


def raster(path):
    with rasterio.open(path) as source:
        return source.read()


def names(data):
    return [band.name for band in data.bands]


# --- the seven named sets ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "prefix"), [("EuroSAT", "eurosat"), ("EuroSATSpatial", "eurosat-spatial")]
)
def test_eurosat_gives_13_bands_as_stored_in_the_order_of_its_files(
    load, tmp_path, dataset, prefix
):
    eurosat(tmp_path, prefix, archive=True)
    data = load(dataset)
    assert names(data) == EUROSAT_BANDS
    assert data.classes == EUROSAT_CLASSES
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.test.labels.tolist() == [0, 1, 2]
    path = tmp_path / EUROSAT_FOLDER / "Forest" / "Forest_2.tif"
    assert data.train.describe(4) == str(path)
    np.testing.assert_array_equal(data.train.read(4), raster(path))


def test_bands_of_a_known_set_are_picked_by_name_in_the_order_asked_for(load, tmp_path):
    eurosat(tmp_path)
    data = load("EuroSAT", bands=["B8A", "B02", "B09"])
    stored = raster(data.test.describe(1))
    np.testing.assert_array_equal(data.test.read(1), stored[[12, 1, 8]])
    assert names(data) == ["B8A", "B02", "B09"]


def test_several_splits_train_together(load, tmp_path):
    eurosat(tmp_path)
    data = load("EuroSAT", train_splits=["val", "train"])
    assert data.train_counts.tolist() == [5, 5, 5]
    np.testing.assert_array_equal(data.train.read(10), raster(data.train.describe(10)))
    chips = {data.train.describe(index) for index in range(15)}
    assert len(chips) == 15
    assert not chips & {data.test.describe(index) for index in range(3)}


@pytest.mark.parametrize(
    ("make", "dataset", "classes"),
    [
        (resisc45, "RESISC45", ("airplane", "beach")),
        (ucmerced, "UCMerced", ("agricultural", "airplane")),
    ],
)
def test_photographs_give_red_green_and_blue_as_stored(load, tmp_path, make, dataset, classes):
    make(tmp_path)
    data = load(dataset)
    assert (names(data), data.classes) == (["R", "G", "B"], classes)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    stored = np.asarray(Image.open(data.train.describe(4)), dtype=np.float32).transpose(2, 0, 1)
    read = data.train.read(4)
    if dataset == "UCMerced":  # TorchGeo brings its images to one size
        assert read.shape == (3, 256, 256)
        np.testing.assert_allclose(read.mean((1, 2)), stored.mean((1, 2)), rtol=0.03)
    else:
        np.testing.assert_array_equal(read, stored)


def test_a_set_without_splits_is_drawn_apart_and_says_so(load, tmp_path, caplog):
    patternnet(tmp_path)
    data = load("PatternNet")
    assert data.train_counts.tolist() == [5, 5]
    assert data.test.labels.tolist() == [0, 1]
    train, test = ({s.describe(i) for i in range(len(s))} for s in (data.train, data.test))
    assert not train & test
    assert len(train | test) == 12
    assert "PatternNet has no splits: 2 of its 12 chips are drawn" in caplog.text
    stored = np.asarray(Image.open(data.test.describe(0)), dtype=np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.test.read(0), stored)


def test_runs_of_other_seeds_share_the_test_of_a_set_without_splits(tmp_path):
    patternnet(tmp_path)

    def test_chips(seed, draw):
        values = {"source": "torchgeo", "dataset": "PatternNet", "root": tmp_path}
        values |= {"test_draw": {"fraction": 0.5, "seed": draw}}
        data = load_data(validate(Recipe, {"name": "x", "seed": seed, "data": values}))
        return [data.test.describe(index) for index in range(len(data.test))]

    assert len(test_chips(0, 0)) == 6
    assert test_chips(0, 0) == test_chips(1, 0)
    assert len({tuple(test_chips(0, draw)) for draw in range(4)}) > 1


def test_so2sat_gives_its_optical_bands(load, tmp_path):
    so2sat(tmp_path)
    data = load("So2Sat", classes=["Open high rise", "Water", "Compact high rise"])
    assert names(data) == ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    assert data.train.labels.tolist() == [2, 1, 0, 0]
    assert data.test.describe(1) == "So2Sat test 1"
    for chips, file in ((data.train, "training.h5"), (data.test, "testing.h5")):
        with h5py.File(tmp_path / file) as stored:
            expected = stored["sen2"][1].transpose(2, 0, 1).astype(np.float32)
        np.testing.assert_array_equal(chips.read(1), expected)


def test_so2sat_gives_its_radar_intensities_in_decibel(load, tmp_path):
    so2sat(tmp_path)
    three = ["Open high rise", "Water", "Compact high rise"]
    data = load("So2Sat", sensor="sentinel1", bands=["VV", "VH"], classes=three)
    with h5py.File(tmp_path / "training.h5") as stored:
        power = stored["sen1"][0].transpose(2, 0, 1)[[5, 4]]
    read = data.train.read(0)
    assert np.isnan(read[1, 0, 0])  # no backscatter at all is no data
    assert np.isnan(read).sum() == 1
    valid = power > 0
    np.testing.assert_allclose(read[valid], 10 * np.log10(power[valid]), rtol=1e-5)


def test_so2sat_s_other_versions_are_an_argument_of_its_class(load, tmp_path):
    so2sat(tmp_path, subfolder="culture_10")
    three = ["Open high rise", "Water", "Compact high rise"]
    data = load("So2Sat", arguments={"version": "3_culture_10"}, classes=three)
    assert len(data.train) == len(data.test) == 4
    with pytest.raises(DataError, match="version='3_culture_10'"):
        load("So2Sat", arguments={"version": "3_culture_10"}, train_splits=["validation"])


def test_classes_of_so2sat_without_chips_are_named(load, tmp_path):
    so2sat(tmp_path)
    with pytest.raises(DataError, match="class 'Compact mid rise' has no training chips"):
        inspect_data(load("So2Sat"), "none", "stop")


def test_quakeset_gives_two_acquisitions_in_decibel(load, tmp_path):
    quakeset(tmp_path)
    data = load("QuakeSet")
    assert names(data) == ["VV_before", "VH_before", "VV_after", "VH_after"]
    assert data.classes == ("unaffected_area", "earthquake_affected_area")
    assert data.train.labels.tolist() == [1, 0, 1, 1, 0, 1]
    assert data.test.labels.tolist() == [1, 0, 1]
    with h5py.File(tmp_path / "earthquakes.h5") as stored:
        quiet = [stored[f"quake0/patch_0/{name}"][:] for name in ("before", "pre")]
    power = np.concatenate(quiet, axis=2).transpose(2, 0, 1)
    np.testing.assert_allclose(data.train.read(1), 10 * np.log10(power), rtol=1e-5)
    assert np.isnan(data.train.read(1)[:, 0, 0]).all()


def test_backscatter_that_is_no_linear_power_is_refused(load, tmp_path):
    quakeset(tmp_path)
    with h5py.File(tmp_path / "earthquakes.h5", "a") as file:
        file["quake0/patch_0/pre"][3, 3, 0] = -12.5
    with pytest.raises(DataError, match="'QuakeSet train 0' has negative values"):
        load("QuakeSet").train.read(0)


# --- any other set by name --------------------------------------------------------------------


def test_an_unknown_set_takes_its_bands_and_splits_from_the_recipe(load, tmp_path):
    for split in ("train", "val"):
        photographs(tmp_path, f"FireRisk/{split}", ("High", "Low"), "{}{}.png")
    data = load("FireRisk", sensor="rgb", train_splits=["train"], test_split="val")
    assert data.classes == ("High", "Low")
    assert data.train_counts.tolist() == [6, 6]
    stored = np.asarray(Image.open(data.test.describe(7))).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.test.read(7), stored)


def test_the_number_of_bands_of_an_unknown_set_is_checked(load, tmp_path):
    for split in ("train", "val"):
        photographs(tmp_path, f"FireRisk/{split}", ("High", "Low"), "{}{}.png")
    data = load("FireRisk", sensor="rgb-nir", train_splits=["train"], test_split="val")
    with pytest.raises(DataError, match=r"High1\.png' has the shape \(3, 16, 16\).* 4 bands"):
        data.train.read(0)


@pytest.mark.parametrize("dataset", ["Eurosat", "BoundingBox", "NAIP", "NonGeoDataset"])
def test_what_is_no_set_of_chips_is_refused(load, dataset):
    with pytest.raises(DataError, match=f"'{dataset}' is not a data set of chips") as caught:
        load(dataset, sensor="rgb", train_splits=["train"], test_split="test")
    assert ("did you mean 'EuroSAT'" in str(caught.value)) == (dataset == "Eurosat")


def test_a_set_for_another_task_is_refused(load, tmp_path):
    dota(tmp_path, ["P0"], ["P1"])
    options = {"sensor": "rgb", "train_splits": ["train"], "test_split": "val"}
    with pytest.raises(DataError, match=r"DOTA is no classification data set: .* bbox, labels"):
        load("DOTA", arguments={"version": "1.0"}, **options)


# --- options shared with files ----------------------------------------------------------------


def test_a_long_tail_is_drawn_from_the_training_chips_alone(load, tmp_path):
    eurosat(tmp_path)
    data = load("EuroSAT", imbalance=3, largest_class=3, train_splits=["train", "val"])
    assert sorted(data.train_counts.tolist()) == [1, 2, 3]
    assert len(data.test) == 3


def test_classes_may_be_ordered(load, tmp_path):
    eurosat(tmp_path)
    data = load("EuroSAT", classes=["SeaLake", "AnnualCrop", "Forest"])
    assert data.test.labels.tolist() == [1, 2, 0]


def test_a_label_outside_the_classes_names_its_chip(load, tmp_path):
    eurosat(tmp_path)
    with pytest.raises(DataError, match=r"Forest_1\.tif' has the label 'Forest', which is not"):
        load("EuroSAT", classes=["SeaLake", "AnnualCrop"])


def test_chips_may_be_cropped(load, tmp_path):
    resisc45(tmp_path)
    data = load("RESISC45", crop=10)
    stored = np.asarray(Image.open(data.train.describe(0))).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.train.read(0), stored[:, 3:13, 3:13])


# --- what goes wrong --------------------------------------------------------------------------

ALL = ["EuroSAT", "EuroSATSpatial", "So2Sat", "RESISC45", "UCMerced", "PatternNet", "QuakeSet"]


@pytest.mark.parametrize("dataset", ALL)
def test_a_missing_set_is_one_line_with_its_root(load, tmp_path, dataset):
    with pytest.raises(DataError) as caught:
        load(dataset)
    message = str(caught.value)
    assert "\n" not in message
    assert f"data set {dataset} is not in data.root '{tmp_path}'" in message
    assert ("data.download: true" in message) == (dataset != "So2Sat")


def test_a_missing_list_of_a_split_is_one_line_with_its_root(load, tmp_path):
    resisc45(tmp_path)
    (tmp_path / "resisc45-test.txt").unlink()
    with pytest.raises(DataError) as caught:
        load("RESISC45")
    message = str(caught.value)
    assert "\n" not in message
    parts = (f"data.root '{tmp_path}'", "resisc45-test.txt", "split='test'", "data.download: true")
    assert all(part in message for part in parts)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive"])
def test_a_damaged_archive_is_one_line(load, tmp_path, content):
    (tmp_path / "PatternNet.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"PatternNet in data\.root .* cannot be used") as caught:
        load("PatternNet")
    assert "\n" not in str(caught.value)


def test_a_wrong_checksum_is_one_line(load, tmp_path):
    ucmerced(tmp_path)
    with pytest.raises(DataError, match=r"UCMerced is not in data\.root"):
        load("UCMerced", checksum=True)


def test_nothing_is_downloaded_unless_asked(load, tmp_path, monkeypatch):
    asked = []

    def download_url(url, root, *arguments, **options):
        asked.append(url)
        raise OSError("no network here")

    monkeypatch.setattr("torchgeo.datasets.resisc45.download_url", download_url)
    with pytest.raises(DataError, match="is not in"):
        load("RESISC45")
    assert asked == []
    with pytest.raises(DataError, match="no network here"):
        load("RESISC45", download=True)
    assert len(asked) == 1


def test_a_set_that_cannot_be_downloaded_says_so(load):
    with pytest.raises(DataError, match=r"data\.download: TorchGeo cannot do that for So2Sat"):
        load("So2Sat", download=True)


def test_an_unknown_argument_is_one_line(load, tmp_path):
    eurosat(tmp_path)
    with pytest.raises(DataError, match=r"colour=True.*unexpected keyword argument 'colour'"):
        load("EuroSAT", arguments={"colour": True})


def test_labels_are_known_before_any_image_is_read(load, tmp_path):
    eurosat(tmp_path)
    broken = tmp_path / EUROSAT_FOLDER / "Forest" / "Forest_2.tif"
    broken.write_bytes(b"II*\0 and no more")
    data = load("EuroSAT")
    assert len(data.train) == 9
    with pytest.raises(DataError, match=r"Forest_2\.tif' cannot be read") as caught:
        data.train.read(4)
    assert "\n" not in str(caught.value)


def test_validation_lists_every_unreadable_image(tmp_path):
    photographs(tmp_path, "NWPU-RESISC45", ("a", "b"), "{}_{}.png")
    split_lists(tmp_path, "resisc45", ("a", "b"), "{}_{}.png")
    for name in ("a_1", "b_6"):
        (tmp_path / "NWPU-RESISC45" / name[0] / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        validate_recipe(recipe(dataset="RESISC45", root=tmp_path))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "a_1.png" in lines[0]
    assert "b_6.png" in lines[1]


def test_one_chip_of_a_class_cannot_be_split():
    with pytest.raises(DataError, match=r"data\.test_draw: a class has a single chip"):
        draw_held_out(np.array([0, 0, 1]), 0.2, 0)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_share_of_every_class_is_held_out(fraction, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [2, 10, 55, 400]))
    drawn = draw_held_out(labels, fraction, seed)
    expected = [min(max(round(fraction * n), 1), n - 1) for n in (2, 10, 55, 400)]
    assert np.bincount(labels[drawn]).tolist() == expected
    assert np.array_equal(drawn, np.unique(drawn))
    assert np.array_equal(drawn, draw_held_out(labels, fraction, seed))


# --- the recipe ----------------------------------------------------------------------------------


def test_the_recipe_of_eurosat_validates_on_a_miniature(tmp_path, monkeypatch, request):
    eurosat(tmp_path, "eurosat-spatial")
    monkeypatch.setenv("EUROSAT", str(tmp_path))
    path = request.config.rootpath / "recipes" / "torchgeo_eurosat.yaml"
    validated = validate_recipe(read_recipe(Recipe, path, ["data.imbalance=2"]))
    assert len(validated.inspected.data.bands) == 13
    assert len(validated.inspected.data.train) < 15
    assert len(validated.inspected.data.test) == 3
