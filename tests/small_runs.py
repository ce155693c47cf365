"""Runs of seconds, and whether two of them ended alike."""

import yaml

from rsmeta.recipe import Recipe

FILES = ["model.safetensors", "metrics.json", "per_class.csv", "confusion.csv", "history.csv"]
FILES += ["modulators.csv", "recipe.yaml", "plan.csv", "bands.csv", "gamma_history.csv"]
FILES += ["predictions.csv", "features.csv", "class_distances.csv", "chips.csv"]

FEW_CHIPS = {"source": "simulator", "largest_class": 4, "imbalance": 2, "test_per_class": 1}
"""For processors without bfloat16, too, which then takes many times as long."""


def small(tmp_path, **sections):
    """Two epochs of about five steps; outer steps do not fall on the ends of epochs."""
    values = {
        "name": "tiny",
        "runs": tmp_path / "runs",
        "data": FEW_CHIPS,
        "backbone": {"image_size": 32},
        "inner": {"epochs": 2, "batch_size": 6},
        "outer": {"every": 2, "batch_size": 11, "learning_rate": 0.1},
        "peft": {"method": "lora", "rank": 2, "blocks": "last:2"},
        "compute": {"checkpoint_every": 1},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    return Recipe.model_validate(values)


def compare(run, other):
    """All files are the same, but for the folder of runs in the recipe."""
    for name in FILES:
        if name != "recipe.yaml":
            assert (run / name).read_bytes() == (other / name).read_bytes(), name
    recipes = [yaml.safe_load((path / "recipe.yaml").read_text()) for path in (run, other)]
    assert len({str(recipe | {"runs": None}) for recipe in recipes}) == 1
