"""Training anew with what the outer loop has learned."""

import pytest
import torch
from small_runs import small

from rsmeta.finetuning import finetune
from rsmeta.train.module import FinetuningModule

EPOCHS, FINAL = 3, 2


@pytest.fixture
def epoch_starts(monkeypatch, without_report):
    """What each epoch's first step began with."""
    found, original = [], FinetuningModule.training_step

    def step(module, batch, batch_index):
        if batch_index == 0:
            classifier, optimiser = module.classifier, module.optimizers().optimizer
            found.append(
                {
                    "inner": [p.detach().clone() for p in classifier.inner_parameters()],
                    "rho": classifier.modulators.rho.detach().clone(),
                    "shift": classifier.head.shift.clone(),
                    "moments": len(optimiser.state),
                    "rate": optimiser.param_groups[0]["lr"],
                }
            )
        original(module, batch, batch_index)

    monkeypatch.setattr(FinetuningModule, "training_step", step)
    return found


def trained(tmp_path, restart):
    outer = {"final_epochs": FINAL, "restart": restart, "class_prior": "learned"}
    inner = {"epochs": EPOCHS, "warm_up": 0.5}
    finetune(small(tmp_path, outer=outer, inner=inner))


def test_the_final_epochs_start_like_a_training_but_with_what_was_learned(tmp_path, epoch_starts):
    trained(tmp_path, restart=True)
    first, anew, last = epoch_starts
    for then, now in zip(first["inner"], anew["inner"], strict=True):
        assert torch.equal(then, now)
    assert first["moments"] == anew["moments"] == 0
    assert 0 < anew["rate"] < 0.005  # the rise begins anew
    assert not torch.equal(first["rho"], anew["rho"])
    assert not torch.equal(first["shift"], anew["shift"])
    assert last["moments"] > 0
    for learned in ("rho", "shift"):
        assert torch.equal(anew[learned], last[learned])


def test_without_it_training_goes_on(tmp_path, epoch_starts):
    trained(tmp_path, restart=False)
    first, final, _ = epoch_starts
    assert final["moments"] > 0
    assert any(
        not torch.equal(then, now) for then, now in zip(first["inner"], final["inner"], strict=True)
    )
