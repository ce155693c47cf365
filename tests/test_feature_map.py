import numpy as np
import pandas as pd
import pytest
import torch

from rsmeta.feature_map import embed, write_feature_map
from rsmeta.longtail.outputs import ChipOutputs


def groups_of_directions(chips=40, width=16, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(chips) % 2
    centres = 8 * rng.normal(size=(2, width))
    return (centres[labels] + rng.normal(size=(chips, width))).astype(np.float32), labels


def outputs_of(features, labels):
    logits = torch.nn.functional.one_hot(torch.tensor(labels), 2).double()
    return ChipOutputs(torch.tensor(features), logits, torch.tensor(labels), 1.0)


def test_chips_of_like_direction_lie_together_whatever_their_length():
    features, labels = groups_of_directions()
    plane = embed(features * np.linspace(0.1, 50, len(features), dtype=np.float32)[:, None], 0)
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.95


@pytest.mark.parametrize("features", [np.eye(4, 6), np.ones((9, 6))])
def test_nothing_to_show(features):
    assert embed(features.astype(np.float32), 0) is None


def test_the_table_names_the_chips_and_is_the_same_again(tmp_path):
    features, labels = groups_of_directions()
    outputs = outputs_of(features, labels)
    tables = []
    for name in "ab":
        (tmp_path / name).mkdir()
        write_feature_map(tmp_path / name, outputs, ("field", "ship"), 3)
        tables.append((tmp_path / name / "features.csv").read_bytes())
    assert tables[0] == tables[1]
    table = pd.read_csv(tmp_path / "a" / "features.csv")
    assert table["chip"].tolist() == list(range(40))
    assert table["true class"].tolist() == ["field", "ship"] * 20
    assert table["predicted class"].tolist() == ["field", "ship"] * 20
    assert np.isfinite(table[["x", "y"]]).all(axis=None)


def test_of_many_chips_some_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("rsmeta.feature_map._MOST", 12)
    write_feature_map(tmp_path, outputs_of(*groups_of_directions()), ("field", "ship"), 0)
    chips = pd.read_csv(tmp_path / "features.csv")["chip"]
    assert len(chips) == 12 and chips.is_monotonic_increasing and chips.is_unique


def test_too_few_chips_leave_an_empty_table(tmp_path):
    features, labels = groups_of_directions(4)
    write_feature_map(tmp_path, outputs_of(features, labels), ("field", "ship"), 0)
    assert (tmp_path / "features.csv").read_text() == "chip,true class,predicted class,x,y\n"
