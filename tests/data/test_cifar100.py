import urllib.error
from pathlib import Path

import numpy as np
import pytest
from cifar_files import write_cifar100
from torchvision.datasets import CIFAR100

from rsmeta.data.cifar100 import benchmark_draw
from rsmeta.data.sources import load_data
from rsmeta.errors import DataError
from rsmeta.longtail.groups import assign_groups
from rsmeta.recipe import LongTail, Recipe
from rsmeta.recipe_reading import validate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(tmp_path):
    def load(seed=0, **data):
        section = {"source": "cifar100", "root": tmp_path, **data}
        return load_data(validate(Recipe, {"name": "x", "seed": seed, "data": section}))

    return load


def values(chips):
    return [int(chips.read(index)[0, 0, 0]) for index in range(len(chips))]


def usual_code(labels, imb_factor):
    """The draw as LDAM-DRW, LIFT and the paper's code write it."""
    np.random.seed(0)  # noqa: NPY002
    classes = np.unique(labels)
    img_max = len(labels) / len(classes)
    chosen = []
    for index, the_class in enumerate(classes):
        number = int(img_max * (imb_factor ** (index / (len(classes) - 1.0))))
        idx = np.where(labels == the_class)[0]
        np.random.shuffle(idx)  # noqa: NPY002
        chosen.extend(idx[:number].tolist())
    return chosen


@pytest.mark.parametrize(("imbalance", "factor"), [(10, 0.1), (50, 0.02), (100, 0.01)])
def test_the_benchmark_is_drawn_as_in_the_usual_code(imbalance, factor):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(100), 500))
    drawn = benchmark_draw(labels, imbalance)
    assert drawn.tolist() == usual_code(labels, factor)


def test_the_benchmark_has_the_published_numbers_of_images():
    labels = np.repeat(np.arange(100), 500)
    drawn = {imbalance: benchmark_draw(labels, imbalance) for imbalance in (10, 50, 100)}
    # Cao et al. 2019; 10,847 images at imbalance 100.
    assert [len(chips) for chips in drawn.values()] == [19573, 12608, 10847]
    counts = np.bincount(labels[drawn[100]])
    assert (counts[0], counts[-1]) == (500, 5)
    assert (np.diff(counts) <= 0).all()


def test_chips_come_from_cifars_own_files(load, tmp_path, monkeypatch):
    write_cifar100(tmp_path, monkeypatch)
    data = load(imbalance=10)
    plain = CIFAR100(tmp_path, train=True)
    chosen = usual_code(np.array(plain.targets), 0.1)
    assert data.classes == tuple(f"thing {i}" for i in range(10))
    assert data.train_counts.tolist() == [40, 30, 23, 18, 14, 11, 8, 6, 5, 4]
    assert values(data.train) == [index % 251 for index in chosen]
    assert data.train.labels.tolist() == [plain.targets[index] for index in chosen]
    assert len(data.test) == 20
    assert values(data.test) == list(range(20))
    chip = data.test.read(3)
    assert chip.shape == (3, 32, 32)
    assert chip.dtype == np.float32
    assert [float(band.mean()) for band in chip] == [3, 252, 252]
    assert [band.name for band in data.bands] == ["R", "G", "B"]


def test_the_benchmark_is_alike_for_all_seeds_and_the_own_draw_is_not(load, tmp_path, monkeypatch):
    write_cifar100(tmp_path, monkeypatch)
    assert values(load(0, imbalance=10).train) == values(load(1, imbalance=10).train)
    own = [load(seed, imbalance=10, draw="seed") for seed in (0, 0, 1)]
    assert values(own[0].train) == values(own[1].train)
    assert values(own[0].train) != values(own[2].train)
    assert own[0].train_counts.tolist() != own[2].train_counts.tolist()
    assert sorted(own[0].train_counts) == sorted(own[2].train_counts)


def test_a_tail_that_keeps_nothing_of_a_class_is_told(load, tmp_path, monkeypatch):
    write_cifar100(tmp_path, monkeypatch, train=5)
    with pytest.raises(DataError, match="10 leaves no training chips of thing 7, thing 8, thing 9"):
        load(imbalance=10)


def test_missing_and_damaged_files_are_told(load, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"no complete cifar-100-python; .* data\.download to true"):
        load()
    write_cifar100(tmp_path, monkeypatch)
    (tmp_path / "cifar-100-python" / "test").write_bytes(b"x")
    with pytest.raises(DataError, match="no complete cifar-100-python"):
        load()


def test_a_download_that_fails_is_told_and_none_is_tried_unasked(load, monkeypatch):
    asked = []

    def download(dataset):
        asked.append(dataset.root)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(CIFAR100, "download", download)
    with pytest.raises(DataError, match="no complete"):
        load()
    assert not asked
    with pytest.raises(DataError, match=r"cannot be downloaded .*no route to host"):
        load(download=True)
    assert len(asked) == 1


@pytest.mark.parametrize(("imbalance", "head_above", "tail_below"), [(50, 125, 32), (10, 221, 100)])
def test_milder_tails_can_keep_the_groups_of_imbalance_100(imbalance, head_above, tail_below):
    labels = np.repeat(np.arange(100), 500)
    reference, milder = (np.bincount(labels[benchmark_draw(labels, i)]) for i in (100, imbalance))
    limits = LongTail(head_above=head_above, tail_below=tail_below)
    assert assign_groups(milder, limits) == assign_groups(reference, LongTail())
    recipe = (ROOT / "recipes" / "paper" / "cifar100_lt.yaml").read_text()
    assert f"long_tail.head_above={head_above} long_tail.tail_below={tail_below}" in recipe
