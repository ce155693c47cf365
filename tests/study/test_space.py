import pytest

pytest.importorskip("optuna")

from optuna.trial import FixedTrial

from rsmeta.recipe import Recipe
from rsmeta.study.space import suggest

POSITIONS = ("q", "k", "v", "out", "fc1", "fc2")


def trial(used, ends=(2, 9)):
    at = {f"at_{position}": position in used for position in POSITIONS}
    return FixedTrial(
        {"learning_rate": 0.02, "gamma": 3.0, "block_a": ends[0], "block_b": ends[1], **at}
    )


def recipe(method="lora"):
    return Recipe.model_validate(
        {"name": "x", "data": {"source": "simulator"}, "peft": {"method": method}}
    )


@pytest.mark.parametrize("ends", [(2, 4), (4, 2), (3, 3)])
def test_a_trial_is_a_subset_of_positions_and_a_range_of_blocks(ends):
    values = suggest(trial({"q", "fc2"}, ends), recipe(), 12)
    assert values == {
        "inner.learning_rate": 0.02,
        "peft.gamma": 3.0,
        "peft.blocks": list(range(min(ends), max(ends) + 1)),
        "peft.positions": ["q", "fc2"],
    }


def test_no_position_is_a_linear_probe():
    values = suggest(trial(set()), recipe(), 12)
    assert values == {"inner.learning_rate": 0.02, "peft.method": "linear_probe"}


def test_methods_without_a_choice_of_positions_search_the_rest():
    values = suggest(trial(set()), recipe("adaptformer"), 12)
    assert set(values) == {"inner.learning_rate", "peft.gamma", "peft.blocks"}
