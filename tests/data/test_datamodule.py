import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.datamodule import ChipDataModule, collate, resize
from rsmeta.data.statistics import BandStatistics
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate

LABELS = [0] * 20 + [1] * 9 + [2] * 3 + [3] * 2 + [4]


@pytest.fixture
def module(labelled):
    """A datamodule whose chip number i holds the value i."""

    def make(labels=LABELS, *, data=None, seed=0, mean=0.0, **sections):
        data = data or labelled(labels)
        sections.setdefault("backbone", {"image_size": 8})
        values = {"name": "x", "data": {"source": "simulator"}, "seed": seed, **sections}
        values["inner"] = {"batch_size": 4, **sections.get("inner", {})}
        statistics = BandStatistics((mean,) * len(data.bands), (1.0,) * len(data.bands))
        return ChipDataModule(validate(Recipe, values), data, statistics)

    return make


def chips_of(batches):
    """Which chips are in batches, in order."""
    return [int(image.mean().round()) for batch in batches for image in batch["image"]]


def epoch_chips(module, epoch):
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return chips_of(loader)


@pytest.mark.parametrize("epoch", range(4))
def test_no_epoch_trains_on_the_chips_it_validates_with(module, epoch):
    data = module()
    inner = epoch_chips(data, epoch)
    outer = {chip for step in range(9) for chip in chips_of(data.outer_batches(epoch, step))}
    assert len(inner) == len(set(inner))
    assert set(inner) & outer == {32, 33, 34}  # the classes of two chips and of one
    assert set(inner) | set(data.splitter.split(epoch).outer.tolist()) == set(range(len(LABELS)))


def test_the_length_of_the_loader_is_the_number_of_its_batches(module):
    loader = module().train_dataloader()
    assert len(loader) == len(list(loader))


def test_epochs_differ_and_come_again(module):
    first, second = module(), module()
    assert epoch_chips(first, 0) != epoch_chips(first, 1)
    assert epoch_chips(first, 1) == epoch_chips(second, 1)
    assert epoch_chips(module(seed=1), 1) != epoch_chips(second, 1)


def test_order_is_shuffled(module):
    chips = epoch_chips(module(), 0)
    assert chips != sorted(chips)


@pytest.mark.parametrize("peft", [{"method": "linear_probe"}, {"modulators": "fixed"}])
def test_without_learned_modulators_every_chip_trains(module, peft):
    data = module(peft=peft)
    assert sorted(epoch_chips(data, 0)) == list(range(len(LABELS)))
    assert data.outer_batches(0, 0) == []


def test_outer_batches_are_a_function_of_epoch_and_step_alone(module):
    first, second = module(), module()
    list(second.train_dataloader())
    second.outer_batches(3, 9)
    for key in [(0, 0), (0, 1), (2, 5)]:
        one, two = first.outer_batches(*key), second.outer_batches(*key)
        assert chips_of(one) == chips_of(two)
    assert chips_of(first.outer_batches(0, 0)) != chips_of(first.outer_batches(0, 1))


@pytest.mark.parametrize("batches", [1, 3])
def test_outer_batches_have_the_number_and_size_asked_for(module, batches):
    drawn = module(outer={"batch_size": 10, "batches": batches}).outer_batches(0, 0)
    assert [batch["image"].shape for batch in drawn] == [(10, 1, 8, 8)] * batches
    counts = np.bincount(torch.cat([batch["label"] for batch in drawn]).numpy(), minlength=5)
    assert counts.tolist() == [2 * batches] * 5


def test_unbalanced_outer_batches_follow_the_class_counts(module):
    data = module(outer={"batch_size": 9, "balanced": False})
    pool = data.splitter.split(0).outer
    assert len(pool) == 4 + 2 + 1 + 2 + 1
    drawn = chips_of(data.outer_batches(0, 0))
    assert len(set(drawn)) == 9
    assert set(drawn) <= set(pool.tolist())


def test_labels_go_with_their_chips(module):
    for loader in (module().train_dataloader(), module().plain_train_dataloader()):
        for batch in loader:
            assert batch["image"].dtype == torch.float32
            assert batch["label"].tolist() == [LABELS[chip] for chip in chips_of([batch])]


def test_plain_batches_hold_every_chip_in_order_without_augmentation(module):
    data = module(augmentation={"geometry": "d4"})
    assert chips_of(data.plain_train_dataloader()) == list(range(len(LABELS)))
    assert chips_of(data.test_dataloader()) == [0, 1]


@pytest.fixture
def asymmetric(labelled):
    """Forty copies of one chip without any symmetry."""
    base = labelled([0] * 20 + [1] * 20)
    images = np.tile(np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8), (40, 1, 1, 1))
    chips = ChipArray(images, base.train.labels)
    return LabelledData(chips, chips, base.classes, base.bands)


def first_epochs(data):
    loader = data.train_dataloader()
    images = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        images.append(torch.cat([batch["image"] for batch in loader]))
    return images


def test_augmentation_changes_training_chips_alone_and_anew_each_epoch(module, asymmetric):
    config = {"augmentation": {"geometry": "d4"}, "peft": {"method": "linear_probe"}}
    data = module(data=asymmetric, **config)
    first, second = first_epochs(data)
    again = first_epochs(module(data=asymmetric, **config))
    assert len({image.numpy().tobytes() for image in first}) == 8
    assert not torch.equal(first, second)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    plain = torch.cat([batch["image"] for batch in data.plain_train_dataloader()])
    assert len({image.numpy().tobytes() for image in plain}) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_without_data_become_the_training_mean(module, labelled, value):
    base = labelled([0, 0, 0, 1, 1, 1])
    images = np.ones((6, 1, 8, 8), dtype=np.float32)
    images[2, 0, 3, 4] = value
    chips = ChipArray(images, base.train.labels)
    data = module(data=LabelledData(chips, chips, base.classes, base.bands), mean=7.5)
    [batch] = data.plain_train_dataloader()
    expected = torch.ones(6, 1, 8, 8)
    expected[2, 0, 3, 4] = 7.5
    assert torch.equal(batch["image"], expected)
    assert not np.isfinite(images[2, 0, 3, 4])  # the chip itself is left alone


def test_chips_of_any_shape_come_out_at_the_size_of_the_backbone(module, labelled):
    class Ragged(ChipArray):
        def read(self, index):
            return np.full((1, 5 + index, 9), index, dtype=np.float32)

    base = labelled([0, 0, 0, 1, 1, 1])
    chips = Ragged(np.empty((6, 0)), base.train.labels)
    data = module(
        data=LabelledData(chips, chips, base.classes, base.bands), backbone={"image_size": 16}
    )
    [batch] = data.plain_train_dataloader()
    assert batch["image"].shape == (6, 1, 16, 16)
    torch.testing.assert_close(batch["image"][4], torch.full((1, 16, 16), 4.0))


def test_resizing_to_the_same_size_gives_the_same_numbers():
    images = torch.randn(2, 3, 9, 9)
    assert torch.equal(resize(images, 9), images)


def test_shrinking_is_antialiased():
    checker = (torch.arange(32)[:, None] + torch.arange(32)[None]) % 2
    small = resize(checker[None, None].float(), 8)
    torch.testing.assert_close(small, torch.full((1, 1, 8, 8), 0.5), atol=0.05, rtol=0)


# --- radiometry -----------------------------------------------------------------------------------

SAR = {"radiometry": "sar", "speckle_looks": 2}


def changes(data, batches):
    """What was done to each chip: its number and the difference."""
    found = {}
    for batch in batches:
        chips = chips_of([batch])
        assert set(data.augmented(batch)) == {"image", "label"}
        difference = data.augmented(batch)["image"] - batch["image"]
        found |= dict(zip(chips, difference, strict=True))
    return found


def test_a_chips_radiometry_depends_on_its_draw_and_not_on_its_batch_or_workers(module):
    config = {"augmentation": SAR, "peft": {"method": "linear_probe"}}
    seen = []
    for size, workers in ((4, 0), (7, 0), (5, 2)):
        data = module(inner={"batch_size": size}, **config)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(3)
        spread = DataLoader(
            loader.dataset, size, sampler=loader.sampler, num_workers=workers, collate_fn=collate
        )
        seen.append(changes(data, spread))
    assert all(torch.equal(seen[0][chip], other[chip]) for other in seen for chip in range(35))
    assert len(torch.stack(list(seen[0].values())).unique(dim=0)) == 35
    loader.sampler.set_epoch(4)
    assert not torch.equal(changes(data, loader)[0], seen[0][0])


def test_chips_that_come_again_for_validation_are_augmented_anew(module):
    data = module(augmentation=SAR)
    drawn = [batch for step in range(6) for batch in data.outer_batches(0, step)]
    images = torch.cat([data.augmented(batch)["image"] for batch in drawn])
    assert len(set(chips_of(drawn))) < len(images) == len(images.unique(dim=0))


def test_radiometry_changes_outer_batches_too_and_nothing_but_training(module):
    data = module(augmentation=SAR)
    assert all(change.any() for change in changes(data, data.outer_batches(0, 0)).values())
    for batches in (
        data.plain_train_dataloader(),
        data.test_dataloader(),
        data.balanced_batches(),
    ):
        for batch in batches:
            assert set(batch) == {"image", "label"}
            assert torch.equal(data.augmented(batch)["image"], batch["image"])


@pytest.mark.parametrize("size", [8, 16])
def test_pixels_without_data_stay_at_the_training_mean(module, labelled, size):
    base = labelled([0, 0, 0, 1, 1, 1])
    images = np.ones((6, 1, 8, 8), dtype=np.float32)
    images[:, :, :, :4] = np.nan
    chips = ChipArray(images, base.train.labels)
    data = module(
        data=LabelledData(chips, chips, base.classes, base.bands),
        mean=1.0,
        augmentation=SAR,
        backbone={"image_size": size},
    )
    changed = [data.augmented(batch)["image"] for batch in data.train_dataloader()]
    for image in torch.cat(changed):
        assert (image[:, :, : size // 2] == 1).all()
        assert (image[:, :, size // 2 :] != 1).all()


def test_each_use_of_a_chip_in_an_epoch_is_augmented_anew(module):
    data = module(
        augmentation=SAR,
        inner={"sampling": "class_balanced", "batch_size": 64},
        peft={"method": "linear_probe"},
    )
    [batch] = data.train_dataloader()
    images = data.augmented(batch)["image"][torch.tensor(chips_of([batch])) == 34]
    assert len(images) == 7  # the only chip of its class
    assert len(images.unique(dim=0)) == 7
