"""Ways of saving memory give the numbers of the whole batch."""

import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from rsmeta.finetuning import finetune
from rsmeta.models.classifier import ChipClassifier

pytestmark = pytest.mark.usefixtures("without_report")


def short(tiny_recipe, peft, engine="first_order", inner=None, compute=None):
    data = {"source": "simulator", "largest_class": 4, "imbalance": 2, "test_per_class": 1}
    return tiny_recipe(
        data=data,
        peft=peft,
        inner={"epochs": 1, "batch_size": 7} | (inner or {}),
        outer={"engine": engine, "every": 2, "batch_size": 11, "learning_rate": 0.1},
        compute=compute or {},
    )


def close(first, second):
    states = [load_file(run / "model.safetensors") for run in (first, second)]
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=1e-5)
    losses = [pd.read_csv(run / "history.csv")[["loss", "outer_loss"]] for run in (first, second)]
    pd.testing.assert_frame_equal(*losses, rtol=1e-5)


LORA = {"method": "lora", "rank": 2, "blocks": "last:2"}


@pytest.mark.parametrize(("parts", "sizes"), [(3, [3, 3, 1])])
def test_a_batch_in_parts_is_the_whole_batch(tiny_recipe, monkeypatch, parts, sizes):
    forward, seen = ChipClassifier.forward, []

    def watched(self, inputs, from_tokens=False):
        if self.training:
            seen.append(len(inputs))
        return forward(self, inputs, from_tokens)

    whole = finetune(short(tiny_recipe, LORA)).folder
    monkeypatch.setattr(ChipClassifier, "forward", watched)
    close(whole, finetune(short(tiny_recipe, LORA, inner={"accumulate": parts})).folder)
    assert seen[: len(sizes)] == sizes


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ({"accumulate": 8}, "accumulate 8 is more than batch_size 7"),
        ({"accumulate": 2, "loss": {"name": "lade"}}, "the loss lade compares the chips"),
    ],
)
def test_parts_that_cannot_be_are_refused(tiny_recipe, inner, message):
    with pytest.raises(ValidationError, match=message):
        short(tiny_recipe, LORA, inner=inner)


@pytest.mark.parametrize(
    ("peft", "engine", "compute"),
    [
        (LORA, "finite_difference", {}),
        pytest.param(LORA, "first_order", {"cache_features": True}, marks=pytest.mark.slow),
        pytest.param(LORA, "unrolled", {}, marks=pytest.mark.slow),
        pytest.param({"method": "adapter"}, "finite_difference", {}, marks=pytest.mark.slow),
        pytest.param({"method": "adaptformer"}, "first_order", {}, marks=pytest.mark.slow),
        pytest.param({"method": "vpt_deep"}, "first_order", {}, marks=pytest.mark.slow),
    ],
)
def test_recomputed_activations_give_the_same_model(
    tiny_recipe, monkeypatch, peft, engine, compute
):
    again = []
    checkpoint = torch.utils.checkpoint.checkpoint

    def counted(*arguments, **keywords):
        again.append(None)
        return checkpoint(*arguments, **keywords)

    plain = finetune(short(tiny_recipe, peft, engine, compute=compute)).folder
    assert not again
    monkeypatch.setattr(torch.utils.checkpoint, "checkpoint", counted)
    saving = compute | {"checkpoint_activations": True}
    close(plain, finetune(short(tiny_recipe, peft, engine, compute=saving)).folder)
    assert again
