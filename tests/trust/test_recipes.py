"""Any recipe that validates trains; any other is refused with the reason."""

from math import isfinite

from hypothesis import given
from pydantic import ValidationError
from recipe_strategies import EXTREMES, RECIPES
from trust_examples import examples

from rsmeta.errors import RsmetaError
from rsmeta.finetuning import train
from rsmeta.recipe import Recipe
from rsmeta.train.nonfinite import NonFiniteError
from rsmeta.train.trainer import seed_everything
from rsmeta.validation import validate_recipe

VALID = "any recipe that validates trains"
EXTREME = "no number of a recipe goes wrong in silence"


def validated(values, weights):
    """The recipe and what validation made of it; None where one of them refuses."""
    file = {"file": weights[values["backbone"]["name"]]}
    try:
        recipe = Recipe.model_validate(values | {"backbone": values["backbone"] | file})
        seed_everything(recipe.seed)
        return recipe, validate_recipe(recipe)
    except (RsmetaError, ValidationError) as error:
        assert str(error).strip()
        return None


def finite_history(recipe, found):
    """What a training did, whose losses and whose model are finite."""
    history = train(recipe, found.inspected.data, found.inspected.statistics, found.built)
    assert all(isfinite(record.loss) for record in history)
    for name, tensor in found.built.classifier.trained_state().items():
        assert tensor.isfinite().all(), name
    return history


@examples(25)
@given(values=RECIPES)
def test_a_recipe_that_validates_trains(tiny_weights, tally, values):
    accepted = validated(values, tiny_weights)
    if accepted is None:
        tally.add(VALID, "refused")
        return
    recipe, found = accepted
    start = {n: t.clone() for n, t in found.built.classifier.trained_state().items()}
    history = finite_history(recipe, found)
    assert len(history) == recipe.inner.epochs
    # A head that is fitted at the start may have nothing left to learn.
    if recipe.head.initialisation != "linear_probe" and recipe.inner.learning_rate > 1e-3:
        end = found.built.classifier.trained_state()
        assert any(not tensor.equal(start[name]) for name, tensor in end.items())
    outer = [isfinite(record.outer_loss) for record in history]
    if recipe.learns_modulators and recipe.outer.every == 1:
        assert outer[0]
    tally.add(VALID, "trained with outer steps" if any(outer) else "trained without outer steps")


BASE = {
    "name": "drawn",
    "data": {
        "source": "simulator",
        "crop": 16,
        "largest_class": 2,
        "imbalance": 2,
        "test_per_class": 1,
    },
    "backbone": {"name": "timm:test_vit", "image_size": 16},
    "peft": {"method": "lora", "rank": 2, "blocks": "last:2"},
    "inner": {
        "epochs": 1,
        "batch_size": 8,
        "optimiser": {"name": "adamw"},
        "loss": {"name": "logit_adjusted"},
    },
    "outer": {"every": 2, "batch_size": 4},
    "loggers": [],
}


def replaced(values, path, value):
    """Nested values with one of them replaced."""
    first, *rest = path
    below = replaced(values.get(first, {}), rest, value) if rest else value
    return values | {first: below}


@examples(25)
@given(extreme=EXTREMES)
def test_no_number_makes_training_go_wrong_in_silence(tiny_weights, tally, extreme):
    accepted = validated(replaced(BASE, *extreme), tiny_weights)
    if accepted is None:
        tally.add(EXTREME, "refused")
        return
    try:
        finite_history(*accepted)
    except (RsmetaError, NonFiniteError) as error:
        assert str(error).strip()
        tally.add(EXTREME, "stopped")
    else:
        tally.add(EXTREME, "trained")
