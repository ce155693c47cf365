import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
import yaml

from rsmeta.bands import sensor
from rsmeta.data import packed
from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.packed import load_packed, pack_chips, packed_section
from rsmeta.data.sources import load_data
from rsmeta.errors import DataError
from rsmeta.finetuning import finetune
from rsmeta.recipe import PackedData

SPLITS = ("train", "test")


class Ragged(ChipArray):
    """Chips of differing shapes, some pixels without data."""

    def read(self, index):
        generator = np.random.default_rng(index)
        chip = generator.normal(size=(2, 4 + index % 3, 5 + index)).astype(np.float32)
        chip[:, 0, index % 5] = np.nan
        return chip

    def describe(self, index):
        return f"folder/chip {index}.tif"


@pytest.fixture
def ragged():
    sets = [Ragged(np.empty(0), np.array(labels)) for labels in ([2, 0, 1, 1, 0, 2, 2], [1, 0, 2])]
    return LabelledData(*sets, ("a", "b", "ç"), sensor("sar").select(["VV", "VH"]))


def section(file, **options):
    return PackedData(source="packed", file=file, sensor="sar", bands=["VV", "VH"], **options)


@pytest.mark.parametrize("batch_bytes", [1, 500, 2**24])
def test_chips_come_back_bit_for_bit(ragged, tmp_path, monkeypatch, batch_bytes):
    monkeypatch.setattr(packed, "_BATCH_BYTES", batch_bytes)
    file, told = tmp_path / "new" / "chips.arrow", []
    pack_chips(ragged, file, lambda: told.append(1))
    assert len(told) == 10
    data = load_packed(section(file), seed=0)
    assert (data.classes, data.bands) == (ragged.classes, ragged.bands)
    for split in SPLITS:
        before, after = getattr(ragged, split), getattr(data, split)
        assert after.labels.tolist() == before.labels.tolist()
        assert after.labels.dtype == np.int64
        for index in range(len(before)):
            chip = after.read(index)
            assert chip.dtype == np.float32
            assert chip.shape == before.read(index).shape
            assert chip.tobytes() == before.read(index).tobytes()
            assert after.describe(index) == before.describe(index)
    assert [path.name for path in file.parent.iterdir()] == ["chips.arrow"]


def test_chips_are_read_from_the_map_and_not_copied(ragged, tmp_path):
    file = tmp_path / "chips.arrow"
    pack_chips(ragged, file)
    before = pa.total_allocated_bytes()
    chip = load_packed(section(file), seed=0).train.read(3)
    assert not chip.flags.owndata
    assert not chip.flags.writeable
    assert pa.total_allocated_bytes() - before < chip.nbytes


NUMBERS = ["model.safetensors", "metrics.json", "modulators.csv", "history.csv", "confusion.csv"]


def test_a_packed_file_trains_to_the_very_same_run(tiny_recipe, tmp_path):
    recipe = tiny_recipe(
        augmentation={"crop_scale": [0.7, 1], "radiometry": "sar"},
        inner={"epochs": 1, "batch_size": 8, "sampling": "square_root"},
    )
    data = load_data(recipe)
    pack_chips(data, tmp_path / "chips.arrow")
    written = yaml.safe_load(packed_section(recipe, data, tmp_path / "chips.arrow"))
    packed_data = PackedData.model_validate(written)
    assert packed_data == section(tmp_path / "chips.arrow")
    recipes = (recipe, recipe.model_copy(update={"data": packed_data}))
    runs = [finetune(each).folder for each in recipes]
    for name in NUMBERS:
        digests = {hashlib.sha256((run / name).read_bytes()).hexdigest() for run in runs}
        assert len(digests) == 1, name


# --- bad input ------------------------------------------------------------------------------------


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"does not exist \(data.file\); make it with: rsmeta pack"):
        load_packed(section(tmp_path / "none.arrow"), seed=0)


def test_a_damaged_or_foreign_file_is_one_line(ragged, tmp_path):
    file = tmp_path / "chips.arrow"
    pack_chips(ragged, file)
    whole = file.read_bytes()
    foreign = tmp_path / "foreign.arrow"
    table = pa.table({"a": [1]})
    with pa.ipc.new_file(str(foreign), table.schema) as writer:
        writer.write(table)
    for content in (b"", b"no arrow", whole[: len(whole) // 2], whole[:-7], foreign.read_bytes()):
        file.write_bytes(content)
        with pytest.raises(DataError, match="is damaged or was not written by rsmeta"):
            load_packed(section(file), seed=0)


@pytest.mark.parametrize(
    ("sensor_name", "bands"), [("sar", ["VH", "VV"]), ("sar", ["VV"]), ("sar-amplitude", None)]
)
def test_other_bands_than_the_files_are_one_line(ragged, tmp_path, sensor_name, bands):
    file = tmp_path / "chips.arrow"
    pack_chips(ragged, file)
    config = PackedData(source="packed", file=file, sensor=sensor_name, bands=bands)
    with pytest.raises(DataError, match=r"holds the bands VV \(dB\), VH \(dB\), the recipe names"):
        load_packed(config, seed=0)


def test_a_chip_that_cannot_be_read_leaves_the_older_file(ragged, tmp_path, monkeypatch):
    file = tmp_path / "chips.arrow"
    pack_chips(ragged, file)
    before = file.read_bytes()

    def broken(chips, index):
        raise DataError("chip 'x' is damaged")

    monkeypatch.setattr(Ragged, "read", broken)
    with pytest.raises(DataError, match="chip 'x' is damaged"):
        pack_chips(ragged, file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_one_line(ragged, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        pack_chips(ragged, tmp_path / "file" / "chips.arrow")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        pack_chips(ragged, tmp_path / "folder")


# --- the command ----------------------------------------------------------------------------------


def test_the_command_packs_and_says_what_to_write_in_the_recipe(tmp_path):
    from typer.testing import CliRunner

    from rsmeta.cli import app

    recipe, file = tmp_path / "tiny.yaml", tmp_path / "tiny.arrow"
    recipe.write_text(
        "name: tiny\ndata: {source: simulator, largest_class: 3, imbalance: 1, test_per_class: 1}\n"
    )
    done = CliRunner().invoke(app, ["pack", str(recipe), str(file)])
    assert done.exit_code == 0, done.output
    assert "(44 chips, " in done.stdout
    [line] = [text for text in done.stdout.splitlines() if text.startswith("data:")]
    config = PackedData.model_validate(yaml.safe_load(line.removeprefix("data:")))
    assert len(load_packed(config, seed=0).train) == 33


@pytest.mark.parametrize(("column", "value"), [("label", 7), ("label", -1), ("height", 3)])
def test_rows_that_contradict_the_file_are_one_line(ragged, tmp_path, column, value):
    """A label of no class, and a shape that its pixels do not fill."""
    file = tmp_path / "chips.arrow"
    pack_chips(ragged, file)
    table = pa.ipc.open_file(file.read_bytes()).read_all()
    number = table.schema.get_field_index(column)
    values = pa.array([value, *table[column].to_pylist()[1:]], table.schema.field(column).type)
    changed = table.set_column(number, table.schema.field(column), values)
    with pa.ipc.new_file(str(file), changed.schema) as writer:
        for split in ("train", "test"):
            writer.write(changed.filter(pyarrow.compute.equal(changed["split"], split)))
    with pytest.raises(DataError, match="is damaged or was not written by rsmeta"):
        load_packed(section(file), seed=0)
