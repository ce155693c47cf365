from pathlib import Path

import pytest
from pydantic import ValidationError

from rsmeta.errors import RecipeError
from rsmeta.recipe import LongTail, Position, Recipe
from rsmeta.recipe_reading import read_recipe, validate
from rsmeta.train.distill import DistillRecipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
DISTILL = {"embedded_backbone.yaml"}


def recipe(**sections):
    return validate(Recipe, {"name": "x", "data": {"source": "simulator"}, **sections})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_of_the_repository_parses(path):
    model = DistillRecipe if path.name in DISTILL else Recipe
    assert isinstance(read_recipe(model, path), model)


def test_there_are_recipes_to_parse():
    assert len(RECIPES) > len(DISTILL)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_resolved_recipe_reads_back_as_itself(path):
    model = DistillRecipe if path.name in DISTILL else Recipe
    once = read_recipe(model, path)
    assert validate(model, once.model_dump(mode="json")) == once


def test_the_least_recipe_is_metapeft_with_lora_everywhere():
    least = recipe()
    assert least.learns_modulators
    assert least.peft.positions == list(Position)
    assert least.inner.loss.name == "logit_adjusted"
    assert (least.inner.optimiser.momentum, least.inner.weight_decay) == (0.9, 5e-4)
    assert (least.outer.fraction, least.outer.resample, least.outer.balanced) == (0.2, "epoch", 1)
    assert least.head.scale == 30


@pytest.mark.parametrize(
    ("peft", "learns"),
    [
        ({"method": "lora", "modulators": "learned"}, True),
        ({"method": "lora", "modulators": "fixed"}, False),
        ({"method": "linear_probe"}, False),
    ],
)
def test_the_outer_loop_runs_for_learned_modulators_alone(peft, learns):
    assert recipe(peft=peft).learns_modulators is learns


def test_sections_are_immutable():
    with pytest.raises(ValidationError):
        recipe().inner.epochs = 3


def test_default_positions_are_not_shared_between_recipes():
    recipe(peft={"method": "lora"}).peft.positions.clear()
    assert recipe(peft={"method": "lora"}).peft.positions == list(Position)


@pytest.mark.parametrize("blocks", ["all", "last:1", "last:12", [0], [3, 1, 2]])
def test_allowed_blocks(blocks):
    assert recipe(peft={"method": "lora", "blocks": blocks}).peft.blocks == blocks


@pytest.mark.parametrize(
    "blocks", ["none", "last", "last:0", "last:-1", "last:1x", [], [1, 1], [-1]]
)
def test_refused_blocks(blocks):
    with pytest.raises(RecipeError, match=r"^peft\.blocks: "):
        recipe(peft={"method": "lora", "blocks": blocks})


@pytest.mark.parametrize(("head", "tail"), [(100, 20), (20, 20), (20, 21), (0, 0)])
def test_thresholds_that_leave_no_class_in_two_groups(head, tail):
    assert LongTail(head_above=head, tail_below=tail).tail_below == tail


@pytest.mark.parametrize(("head", "tail"), [(20, 22), (0, 2)])
def test_thresholds_that_put_a_class_in_two_groups(head, tail):
    with pytest.raises(RecipeError) as caught:
        recipe(long_tail={"head_above": head, "tail_below": tail})
    [line] = caught.value.problems
    assert line.startswith("long_tail: ")
    assert f"tail_below {tail}" in line
    assert f"head_above {head}" in line


def test_bands_of_files_follow_the_recipe():
    data = {"source": "folder", "root": "chips", "sensor": "sentinel1", "bands": ["VH", "VV"]}
    assert [band.name for band in recipe(data=data).data.selected_bands] == ["VH", "VV"]


@pytest.mark.parametrize("source", ["folder", "table"])
def test_no_bands_at_all_are_refused(source):
    place = {"root": "chips"} if source == "folder" else {"file": "chips.csv"}
    with pytest.raises(RecipeError, match=r"data\.bands"):
        recipe(data={"source": source, "sensor": "rgb", "bands": [], **place})


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    ("section", "key"), [("inner", "learning_rate"), ("outer", "margin"), ("peft", "gamma")]
)
def test_numbers_are_finite(section, key, number):
    with pytest.raises(RecipeError, match=rf"{section}.*{key}.*finite"):
        recipe(**{section: {key: number}})


def test_numbers_that_float32_does_not_hold_are_refused():
    with pytest.raises(RecipeError, match=r"inner.*learning_rate 1e\+30.*allowed: up to 1e\+20"):
        recipe(inner={"learning_rate": 1e30})
