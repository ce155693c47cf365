import numpy as np
import pytest
import torch

from rsmeta.bands import sensor
from rsmeta.data.band_dropout import dropped_bands
from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.datamodule import ChipDataModule, ChipDraw
from rsmeta.data.statistics import BandStatistics


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_bands_are_dropped_with_the_probability_but_never_all(probability):
    drawn = np.array([dropped_bands(6, probability, (0, 3, i, 0)) for i in range(3000)])
    assert not drawn.all(axis=1).any()
    assert drawn.mean(axis=0) == pytest.approx(probability, abs=0.04)
    together = (drawn[:, 0] & drawn[:, 1]).mean()
    assert together == pytest.approx(probability**2, abs=0.03)


def test_of_two_bands_either_may_stay_alone():
    drawn = np.array([dropped_bands(2, 0.95, (0, 0, i, 0)) for i in range(400)])
    assert (drawn.sum(axis=1) <= 1).all()
    assert 0.35 < drawn[drawn.any(axis=1)][:, 0].mean() < 0.65


def test_the_draw_depends_on_seed_epoch_and_chip_alone():
    draws = [
        tuple(np.concatenate([dropped_bands(12, 0.5, (s, e, i + c, 0)) for i in range(5)]))
        for s, e, c in [(0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 7)]
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


@pytest.fixture
def module(tiny_recipe):
    recipe = tiny_recipe(
        augmentation={"band_dropout": 0.5},
        data={"source": "simulator", "sensor": "multispectral"},
    )
    images = np.full((40, 12, 64, 64), 5.0, dtype=np.float32)
    chips = ChipArray(images, np.arange(40) % 2)
    data = LabelledData(chips, chips, ("a", "b"), sensor("sentinel2-l2a").bands)
    return ChipDataModule(recipe, data, BandStatistics((1.0,) * 12, (2.0,) * 12))


def test_whole_bands_of_training_chips_become_the_training_mean(module):
    chip = module._train[ChipDraw(1, 3)][0]
    whole = [sorted(set(band.unique().tolist())) for band in chip]
    assert {tuple(values) for values in whole} == {(1.0,), (5.0,)}
    expected = dropped_bands(12, 0.5, (0, 1, 3, 0))
    assert [values == [1.0] for values in whole] == expected.tolist()
    assert torch.equal(chip, module._train[ChipDraw(1, 3)][0])
    assert not torch.equal(chip, module._train[ChipDraw(2, 3)][0])


def test_chips_to_judge_by_keep_all_bands(module):
    for loader in (module.plain_train_dataloader(), module.test_dataloader()):
        assert all((batch["image"] == 5).all() for batch in loader)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"compute": {"cache_features": True}}, "take out augmentation.band_dropout"),
        (
            {
                "data": {
                    "source": "folder", "root": "chips", "sensor": "sar", "bands": ["HH"],
                }
            },
            "the chips have one band",
        ),
    ],
)  # fmt: skip
def test_dropout_without_effect_or_sense_is_refused(tiny_recipe, sections, message):
    with pytest.raises(ValueError, match=message):
        tiny_recipe(augmentation={"band_dropout": 0.1}, **sections)
