"""Training stops at numbers that are none, and says at which chips."""

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from rsmeta.errors import TrainingError
from rsmeta.finetuning import finetune
from rsmeta.meta.engines import ENGINES
from rsmeta.meta.first_order import first_order
from rsmeta.meta.problem import Hypergradient
from rsmeta.train.module import FinetuningModule


@pytest.fixture
def recipe(tiny_recipe):
    data = {"source": "simulator", "largest_class": 4, "imbalance": 2, "test_per_class": 1}
    peft = {"rank": 2, "blocks": "last:1"}
    return tiny_recipe(data=data, peft=peft, inner={"epochs": 2, "batch_size": 6})


def stopped(recipe):
    with pytest.raises(TrainingError) as caught:
        finetune(recipe)
    (draft,) = recipe.runs.glob(".*.partial")
    message = str(caught.value)
    assert "\n" not in message
    assert f"listed in '{draft / 'failed_batch.csv'}'" in message
    assert message.endswith(f"last good checkpoint: '{draft / 'checkpoint.safetensors'}'")
    return message, pd.read_csv(draft / "failed_batch.csv"), draft


def test_a_loss_that_is_no_number_names_its_chips(recipe, monkeypatch):
    backward, sums = FinetuningModule._backward, []

    def poisoned(module, batch):
        sums.append(batch["image"].sum((1, 2, 3)))
        if len(sums) == 6:
            batch = batch | {"image": batch["image"] * torch.nan}
        return backward(module, batch)

    chips = {}
    draw = FinetuningModule._not_finite

    def remember(module, what, loop):
        train = module.datamodule._plain_train
        chips.update({f"chip {i}": train[i].image.sum() for i in range(len(train))})
        return draw(module, what, loop)

    monkeypatch.setattr(FinetuningModule, "_backward", poisoned)
    monkeypatch.setattr(FinetuningModule, "_not_finite", remember)
    message, table, draft = stopped(recipe)
    assert "the training loss is nan in epoch 2 at inner step 6" in message
    assert "lower inner.learning_rate" in message
    torch.testing.assert_close(torch.stack([chips[name] for name in table["chip"]]), sums[-1])
    state = load_file(draft / "checkpoint.safetensors")
    assert all(t.isfinite().all() for t in state.values() if t.is_floating_point())


@pytest.mark.parametrize("loss", [1.0, float("inf")])
def test_a_hypergradient_that_is_no_number_names_the_outer_batch(recipe, monkeypatch, loss):
    def broken(*arguments):
        found = first_order(*arguments)
        return Hypergradient(found.gradient * torch.nan, loss)

    monkeypatch.setitem(ENGINES, "first_order", lambda optimiser: broken)
    message, table, _ = stopped(recipe)
    what = "hypergradient is not finite" if loss == 1 else "the validation loss is inf"
    assert what in message and "in epoch 1 at inner step 2" in message
    assert "that outer batch" in message
    assert len(table) == 11 and table["class"].nunique() == 11


def test_broken_weights_are_not_checkpointed(recipe, monkeypatch):
    step = torch.optim.SGD.step

    def broken(optimiser, *arguments, **keywords):
        step(optimiser, *arguments, **keywords)
        optimiser.param_groups[0]["params"][0].data.fill_(torch.inf)

    monkeypatch.setattr(torch.optim.SGD, "step", broken)
    changed = {"checkpoint_every": 1}
    compute = recipe.compute.model_copy(update=changed)
    outer = recipe.outer.model_copy(update={"every": 1, "learning_rate": 0.0})
    monkeypatch.setattr(
        FinetuningModule, "_outer_step", lambda module, step: module._recorder.finish()
    )
    message, table, _ = stopped(recipe.model_copy(update={"compute": compute, "outer": outer}))
    assert "is not finite in epoch 1 at inner step 1" in message
    assert len(table) == 6
