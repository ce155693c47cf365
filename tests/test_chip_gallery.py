import numpy as np
import pytest
import torch
from PIL import Image

from rsmeta.bands import SENSORS
from rsmeta.chip_gallery import confident_mistakes, hard_tail_chips, read_gallery, write_gallery
from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.errors import RunError
from rsmeta.longtail.metrics import Group
from rsmeta.longtail.outputs import ChipOutputs

GROUPS = [Group.HEAD, Group.TAIL, Group.TAIL]
NAMES = ("field", "NA", "<b>ship</b>")


def outputs_of(probabilities, labels, temperature=2.0):
    """Outputs whose calibrated probabilities are these."""
    logits = temperature * torch.tensor(probabilities, dtype=torch.float64).log()
    return ChipOutputs(torch.zeros(len(labels), 2), logits, torch.tensor(labels), temperature)


@pytest.fixture
def outputs():
    probabilities = [
        [0.90, 0.05, 0.05],  # field, right
        [0.20, 0.70, 0.10],  # field, taken for NA
        [0.95, 0.04, 0.01],  # NA, taken for field
        [0.10, 0.60, 0.30],  # NA, right
        [0.30, 0.45, 0.25],  # ship, taken for NA
    ]
    return outputs_of(probabilities, [0, 0, 1, 1, 2])


def data_of(shape=(2, 6, 6), count=5):
    images = np.random.default_rng(0).normal(-12, 3, (count, *shape)).astype(np.float32)
    images[-3:, 0, 0, 0] = np.nan
    chips = ChipArray(images, np.array([0, 0, 1, 1, 2][:count]))
    bands = SENSORS["sentinel1"].select(["VV", "VH"])
    return LabelledData(chips, chips, NAMES, bands)


def test_mistakes_are_those_the_model_is_surest_about(outputs):
    assert confident_mistakes(outputs).tolist() == [2, 1, 4]
    assert confident_mistakes(outputs, 2).tolist() == [2, 1]


def test_hard_tail_chips_have_the_least_probability_of_their_class(outputs):
    assert hard_tail_chips(outputs, GROUPS).tolist() == [2, 4, 3]
    assert hard_tail_chips(outputs, [Group.HEAD] * 3).tolist() == []


def test_what_is_written_is_read(outputs, tmp_path):
    write_gallery(tmp_path, data_of(), outputs, GROUPS)
    table = read_gallery(tmp_path)
    assert table["kind"].tolist() == ["mistake"] * 3 + ["tail"] * 3
    assert table["chip"].tolist() == [f"chip {index}" for index in (2, 1, 4, 2, 4, 3)]
    assert table["true class"].tolist() == [NAMES[i] for i in (1, 0, 2, 1, 2, 1)]
    assert table["predicted class"].tolist() == [NAMES[i] for i in (0, 1, 1, 0, 1, 1)]
    np.testing.assert_allclose(table["confidence"], [0.95, 0.7, 0.45, 0.95, 0.45, 0.6])
    np.testing.assert_allclose(table["true probability"], [0.04, 0.2, 0.25, 0.04, 0.25, 0.6])
    first = table["image"][0]
    assert first.shape == (6, 6, 4)
    assert first[0, 0, 3] == 0 and (first[..., 3] == 255).sum() == 35
    # One band of radar: grey.
    assert (first[..., 0] == first[..., 1]).all() and (first[..., 0] == first[..., 2]).all()
    assert len(list((tmp_path / "chips").iterdir())) == 4


def test_large_chips_are_made_small(outputs, tmp_path):
    write_gallery(tmp_path, data_of((2, 100, 400)), outputs, GROUPS)
    assert {image.shape for image in read_gallery(tmp_path)["image"]} == {(40, 160, 4)}


def test_a_model_without_mistakes_and_tail_has_an_empty_gallery(tmp_path):
    outputs = outputs_of([[0.8, 0.1, 0.1]], [0])
    write_gallery(tmp_path, data_of(count=1), outputs, GROUPS)
    assert read_gallery(tmp_path).empty


def test_runs_of_older_versions_have_none(tmp_path):
    assert read_gallery(tmp_path) is None


def test_damage_is_told(outputs, tmp_path):
    write_gallery(tmp_path, data_of(), outputs, GROUPS)
    picture = next((tmp_path / "chips").iterdir())
    picture.write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"chips\.csv' is damaged: cannot identify"):
        read_gallery(tmp_path)
    picture.unlink()
    with pytest.raises(RunError, match=r"chips\.csv' is damaged: .*No such file"):
        read_gallery(tmp_path)
    (tmp_path / "chips.csv").write_text("kind,file\ntail,a.png\n")
    with pytest.raises(RunError, match="confidence"):
        read_gallery(tmp_path)


def test_a_table_cannot_name_pictures_elsewhere(outputs, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    write_gallery(run, data_of(), outputs, GROUPS)
    Image.new("RGB", (3, 3)).save(tmp_path / "secret.png")
    table = (run / "chips.csv").read_text()
    (run / "chips.csv").write_text(table.replace("chips/000002.png", "../secret.png"))
    with pytest.raises(RunError, match=r"chips/secret\.png"):
        read_gallery(run)
