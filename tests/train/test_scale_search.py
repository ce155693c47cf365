"""Trials of scales before the outer loop begins."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import small
from torch.nn import functional as F

from rsmeta.finetuning import finetune
from rsmeta.longtail.losses import log_prior
from rsmeta.train.module import FinetuningModule

FACTORS, CAUTION = [0.5, 4.0, 1.0], 1.5


@pytest.fixture
def epochs(monkeypatch, without_report):
    """What each epoch's first step began with, and what the model said when it was over."""
    found = []
    step, end = FinetuningModule.training_step, FinetuningModule.on_train_epoch_end

    def training_step(module, batch, batch_index):
        if batch_index == 0:
            classifier, optimiser = module.classifier, module.optimizers().optimizer
            found.append(
                {
                    "inner": [p.detach().clone() for p in classifier.inner_parameters()],
                    "gamma": classifier.modulators.gamma().detach().clone(),
                    "moments": len(optimiser.state),
                    "order": module.datamodule.inner_draw(module.current_epoch, 0).tolist(),
                    "trained on": set(module.datamodule.inner_draw(module.current_epoch, 0)),
                }
            )
        step(module, batch, batch_index)

    def on_train_epoch_end(module):
        chips = module.datamodule.splitter.split(0).outer
        data = module.datamodule._plain_train
        images = torch.stack([data[int(chip)].image for chip in chips])
        labels = torch.tensor([data[int(chip)].label for chip in chips])
        module.classifier.eval()
        with torch.no_grad(), module.classifier.head.unshifted():
            found[-1]["said"] = module.classifier(images).double(), labels
        module.classifier.train()
        found[-1]["held out"] = set(chips)
        found[-1]["counts"] = np.bincount(module.datamodule._labels)
        end(module)

    monkeypatch.setattr(FinetuningModule, "training_step", training_step)
    monkeypatch.setattr(FinetuningModule, "on_train_epoch_end", on_train_epoch_end)
    return found


def searched(tmp_path, factors=FACTORS, **outer):
    """The table of epochs: trials of two each, one that learns, and a final one."""
    search = {"factors": factors, "epochs": 2, "caution": CAUTION}
    outer = {"scale_search": search, "resample": "never", "final_epochs": 1, **outer}
    inner = {"epochs": 2 * len(factors) + 2, "warm_up": 0.2}
    # All classes have chips enough to be held out.
    recipe = small(tmp_path, data={"largest_class": 6}, outer=outer, inner=inner)
    return pd.read_csv(finetune(recipe).folder / "history.csv")


def test_every_trial_begins_anew_and_the_best_scale_stays(tmp_path, epochs):
    table = searched(tmp_path, learning_rate=0.0, restart=True)
    for epoch, seen in enumerate(epochs):
        anew = epoch in (0, 2, 4, 6, 7)
        assert (seen["moments"] == 0) == anew
        same = [torch.equal(*pair) for pair in zip(seen["inner"], epochs[0]["inner"], strict=True)]
        assert all(same) == anew
    tried = [seen["gamma"] for seen in epochs]
    for epoch, factor in enumerate(FACTORS):
        expected = torch.full_like(tried[0], factor)
        torch.testing.assert_close(tried[2 * epoch], expected)
        assert torch.equal(tried[2 * epoch], tried[2 * epoch + 1])
    for trial in (1, 2):
        for epoch in (0, 1):
            assert epochs[2 * trial + epoch]["order"] == epochs[epoch]["order"]
    assert len({str(seen["order"]) for seen in epochs}) == 4  # the others have their own
    losses = table["trial_loss"].tolist()
    assert [math.isnan(loss) for loss in losses] == [True, False] * 3 + [True, True]
    best = FACTORS[min(range(3), key=lambda trial: losses[2 * trial + 1])]
    for gamma in tried[6:]:
        torch.testing.assert_close(gamma, torch.full_like(gamma, best / CAUTION))


@pytest.mark.parametrize("prior", ["fixed", "fitted"])
def test_a_trial_is_judged_by_chips_that_it_has_not_seen(tmp_path, epochs, prior):
    table = searched(tmp_path, class_prior=prior)
    for epoch in (1, 3, 5):
        seen = epochs[epoch]
        assert not seen["trained on"] & seen["held out"]
        logits, labels = seen["said"]
        losses = []
        for kappa in torch.linspace(-5, 5, 2001) if prior == "fitted" else [0.0]:
            shifted = logits - kappa * log_prior(seen["counts"])
            each = F.cross_entropy(shifted, labels, reduction="none")
            means = torch.stack([each[labels == label].mean() for label in labels.unique()])
            losses.append(float(means.mean()))
        assert table["trial_loss"][epoch] == pytest.approx(min(losses), abs=2e-5)


def test_a_scale_with_which_training_diverges_is_only_tried(tmp_path, epochs, caplog):
    table = searched(tmp_path, factors=[1e30, 1.0], restart=True)
    assert table["trial_loss"][1] == math.inf and math.isfinite(table["trial_loss"][3])
    assert table["loss"].iloc[4:].notna().all()
    expected = torch.full_like(epochs[4]["gamma"], 1 / CAUTION)
    torch.testing.assert_close(epochs[4]["gamma"], expected)
    assert all(
        torch.equal(*pair) for pair in zip(epochs[4]["inner"], epochs[0]["inner"], strict=True)
    )


def test_the_outer_loop_moves_them_on_from_there(tmp_path, epochs):
    searched(tmp_path)
    start, learned = epochs[6]["gamma"], epochs[7]["gamma"]
    assert start.std() < 1e-6 and learned.std() > 1e-3
