"""What each epoch draws, in one process and in two."""

import os
import socket

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chisquare

from rsmeta.data.outer_split import OuterSplitter
from rsmeta.data.samplers import EpochSampler, class_shares, share_draw
from rsmeta.recipe import InnerLoop

COUNTS = np.array([400, 90, 20, 5, 1])
LABELS = np.repeat(np.arange(5), COUNTS)
WAYS = ["all", "class_balanced", "square_root", "effective_number"]
UNEQUAL = WAYS[1:]


def sampler(sampling, *, labels=LABELS, fraction=None, seed=0, epoch=0, **options):
    splitter = None if fraction is None else OuterSplitter(labels, fraction, "epoch", seed)
    made = EpochSampler(labels, splitter, InnerLoop(sampling=sampling), seed, **options)
    made.set_epoch(epoch)
    return made


def drawn(*arguments, **options):
    return [draw.chip for draw in sampler(*arguments, **options)]


def counts_of(chips):
    return np.bincount(LABELS[chips], minlength=len(COUNTS))


# --- shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 1 - 1e-12])
def test_shares_are_those_of_the_papers(beta):
    """The effective number by its defining sum 1 + beta + ... + beta^(n - 1)."""
    effective = np.array([sum(beta**k for k in range(n)) for n in COUNTS])
    expected = {
        "all": COUNTS,
        "class_balanced": np.ones(5),
        "square_root": COUNTS**0.5,
        "effective_number": COUNTS / effective,
    }
    for way, weights in expected.items():
        shares = class_shares(COUNTS, way, beta)
        np.testing.assert_allclose(shares, weights / weights.sum(), rtol=1e-9)


def test_the_effective_number_lies_between_the_chips_and_the_classes():
    np.testing.assert_allclose(
        class_shares(COUNTS, "effective_number", 0.0), class_shares(COUNTS, "all", 0)
    )
    shares = class_shares(COUNTS, "effective_number", 1 - 1e-9)
    # A chip counts as new in full: every class of n chips gets n / n.
    np.testing.assert_allclose(shares, 0.2, rtol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_class_without_chips_gets_no_share(way):
    shares = class_shares(np.array([0, 3, 0, 9, 0]), way, 0.9)
    assert (shares[[0, 2, 4]] == 0).all()
    assert shares.sum() == pytest.approx(1)


# --- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", UNEQUAL)
@pytest.mark.parametrize("epoch", range(5))
def test_every_class_has_its_share_of_an_epoch_of_the_same_length(way, epoch):
    chips = drawn(way, epoch=epoch)
    assert len(chips) == len(LABELS) == len(sampler(way))
    share = len(LABELS) * class_shares(COUNTS, way, 0.999)
    assert (np.abs(counts_of(chips) - share) < 1).all()


def test_all_draws_each_chip_once():
    assert sorted(drawn("all")) == list(range(len(LABELS)))


def test_the_rounding_of_shares_is_unbiased():
    """Three classes with a share of 4 draws: 4/3 each on average, never fewer than 1."""
    labels, shares = np.arange(3), np.full(3, 1 / 3)
    generator = np.random.default_rng(0)
    draws = [np.bincount(share_draw(labels, labels, shares, 4, generator)) for _ in range(3000)]
    assert {tuple(sorted(draw)) for draw in draws} == {(1, 1, 2)}
    assert chisquare(np.sum(draws, axis=0) - 3000).pvalue > 1e-3


@pytest.mark.parametrize("way", UNEQUAL)
def test_no_chip_comes_again_before_the_others_of_its_class(way):
    times = np.bincount(drawn(way), minlength=len(LABELS))
    for label in range(len(COUNTS)):
        own = times[label == LABELS]
        assert own.max() - own.min() <= 1


@pytest.mark.parametrize("way", WAYS)
def test_the_outer_part_is_never_drawn(way):
    splitter = OuterSplitter(LABELS, 0.2, "epoch", 0)
    for epoch in range(3):
        inner = splitter.split(epoch).inner
        chips = drawn(way, fraction=0.2, epoch=epoch)
        assert set(chips) <= set(inner.tolist())
        assert len(chips) == len(inner)


@pytest.mark.parametrize("way", WAYS)
def test_draws_are_shuffled_and_a_function_of_seed_and_epoch(way):
    chips = drawn(way)
    assert len(set(LABELS[chips[: len(chips) // 4]])) > 1
    assert chips == drawn(way)
    assert chips != drawn(way, epoch=1)
    assert chips != drawn(way, seed=1)


def test_a_chip_drawn_again_is_another_draw():
    draws = list(sampler("class_balanced"))
    assert len(set(draws)) == len(draws) > len({draw.chip for draw in draws})
    assert {draw.epoch for draw in sampler("class_balanced", epoch=3)} == {3}


def test_a_beta_without_its_way_of_sampling_is_refused():
    with pytest.raises(ValidationError, match="sampling_beta has no effect"):
        InnerLoop(sampling="square_root", sampling_beta=0.9)


# --- several processes ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_out_the_draws_of_one(way, processes):
    whole = list(sampler(way))
    parts = [list(sampler(way, rank=r, processes=processes)) for r in range(processes)]
    assert len({len(part) for part in parts}) == 1
    assert len(parts[0]) == len(sampler(way, processes=processes))
    dealt = [draw for turn in zip(*parts, strict=True) for draw in turn]
    assert dealt == whole[: len(dealt)]
    assert len(whole) - len(dealt) < processes


def test_lightning_keeps_the_samplers(tiny_recipe, monkeypatch):
    import lightning as L

    from rsmeta.train.trainer import build_trainer

    given = {}
    monkeypatch.setattr(L, "Trainer", lambda **options: given.update(options))
    build_trainer(tiny_recipe(), [])
    assert given["use_distributed_sampler"] is False


def _draw_in_process(rank, folder, port):
    """One of two processes under Lightning, with the data module of a recipe."""
    import lightning as L
    from torch import nn

    from rsmeta.bands import sensor
    from rsmeta.data.chips import ChipArray, LabelledData
    from rsmeta.data.datamodule import ChipDataModule
    from rsmeta.data.statistics import BandStatistics
    from rsmeta.recipe import Recipe

    class Listener(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.layer = nn.Linear(1, 1)
            self.seen = {}

        def training_step(self, batch, index):
            chips = batch["image"].mean(dim=(1, 2, 3)).round().long().tolist()
            self.seen.setdefault(self.current_epoch, []).extend(chips)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    os.environ |= {"LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": "2"}
    images = np.empty((len(LABELS), 1, 8, 8), dtype=np.float32)
    images[:] = np.arange(len(LABELS), dtype=np.float32)[:, None, None, None]
    chips = ChipArray(images, LABELS)
    data = LabelledData(chips, chips, tuple("abcde"), sensor("sar").select(["VV"]))
    for way in ("all", "class_balanced"):
        recipe = Recipe.model_validate(
            {
                "name": "x",
                "data": {"source": "simulator"},
                "backbone": {"image_size": 8},
                "inner": {"sampling": way, "batch_size": 16},
            }
        )
        listener = Listener()
        trainer = L.Trainer(
            accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False,
        )  # fmt: skip
        trainer.fit(listener, ChipDataModule(recipe, data, BandStatistics((0.0,), (1.0,))))
        assert torch.distributed.get_world_size() == 2
        assert torch.distributed.get_backend() == "gloo"
        torch.save(listener.seen, folder / f"{way}-{rank}.pt")


@pytest.mark.slow
def test_two_processes_of_lightning_see_the_classes_in_their_shares(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_draw_in_process, (tmp_path, port), nprocs=2)
    splitter = OuterSplitter(LABELS, 0.2, "epoch", 0)
    for way in ("all", "class_balanced"):
        seen = [torch.load(tmp_path / f"{way}-{rank}.pt") for rank in (0, 1)]
        assert seen[0][0] != seen[0][1]
        for epoch in (0, 1):
            inner = splitter.split(epoch).inner
            parts = [part[epoch] for part in seen]
            together = [*parts[0], *parts[1]]
            assert len(parts[0]) == len(parts[1]) == len(inner) // 2
            share = len(inner) * class_shares(np.bincount(LABELS[inner]), way, 0)
            assert (np.abs(counts_of(together) - share) < 2).all()  # rounding, a draw left out
            dealt = drawn(way, fraction=0.2, epoch=epoch)[: len(together)]
            assert sorted(together) == sorted(dealt)
            if way == "all":
                assert not set(parts[0]) & set(parts[1])
            else:
                assert all((counts_of(part) > 0).all() for part in parts)
