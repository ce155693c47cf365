"""What a recipe is said to take."""

import pytest

from rsmeta.recipe import Recipe
from rsmeta.validation import validate_recipe

DATA = {"source": "simulator", "largest_class": 4, "imbalance": 2, "test_per_class": 1}


def memory(peft=None, compute=None, **inner):
    values = {"name": "tiny", "data": DATA, "outer": {"batch_size": 8}}
    values |= {"inner": {"batch_size": 32} | inner, "compute": compute or {}, "peft": peft or {}}
    return validate_recipe(Recipe.model_validate(values)).memory


def test_memory_is_that_of_the_chips_that_pass_together():
    whole = memory()
    assert memory(accumulate=2) == memory(compute={"devices": 2}) < 0.6 * whole
    # The outer batch, of 8 chips, is not passed in parts.
    assert memory(accumulate=4) == memory(accumulate=32)
    fixed = {"modulators": "fixed"}
    assert memory(fixed, accumulate=32) < memory(fixed, accumulate=4)


def test_memory_counts_what_the_optimiser_keeps():
    full = {"method": "full"}
    weights = 4 * 3_680_000
    added = memory(full, optimiser={"name": "adamw"}) - memory(full)
    assert added == pytest.approx(weights, rel=0.1)
