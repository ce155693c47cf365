import pytest

from rsmeta.bands import sensor
from rsmeta.data.cautions import cautions
from rsmeta.recipe import Recipe

SAR, RGB = sensor("sar").bands, sensor("rgb").bands


def lines(bands=RGB, **sections):
    values = {"name": "x", "data": {"source": "simulator"}, **sections}
    return cautions(Recipe.model_validate(values), bands)


@pytest.mark.parametrize("loss", ["logit_adjusted", "balanced_softmax", "class_balanced", "lade"])
@pytest.mark.parametrize("sampling", ["class_balanced", "square_root", "effective_number"])
def test_correcting_the_imbalance_twice_is_told(sampling, loss):
    [line] = lines(inner={"sampling": sampling, "loss": {"name": loss}})
    assert f"inner.sampling {sampling} and inner.loss {loss}" in line
    assert "corrected twice" in line


@pytest.mark.parametrize(
    ("sampling", "loss"),
    [("all", "logit_adjusted"), ("class_balanced", "cross_entropy"), ("square_root", "focal")],
)
def test_correcting_it_once_is_not(sampling, loss):
    assert lines(inner={"sampling": sampling, "loss": {"name": loss}}) == []


@pytest.mark.parametrize("geometry", ["flips", "quarter_turns", "d4"])
def test_turning_the_look_direction_of_radar_is_told(geometry):
    [line] = lines(SAR, augmentation={"geometry": geometry})
    assert f"augmentation.geometry {geometry} on radar bands turns the look direction" in line
    assert lines(RGB, augmentation={"geometry": geometry}) == []


def test_crops_and_radiometry_of_radar_are_harmless():
    assert lines(SAR, augmentation={"crop_scale": [0.5, 1], "radiometry": "sar"}) == []


def test_bands_that_the_model_does_not_see_are_told():
    recipe = Recipe.model_validate({"name": "x", "data": {"source": "simulator"}})
    [line] = cautions(recipe, RGB, ["B05", "B08"])
    assert "does not see B05, B08" in line and "\n" not in line


def test_training_tells_them_before_it_starts(tiny_recipe, caplog, monkeypatch):
    from rsmeta import finetuning

    def stop(recipe, callbacks, *, distributed):
        raise KeyboardInterrupt

    monkeypatch.setattr(finetuning, "build_trainer", stop)
    recipe = tiny_recipe(inner={"sampling": "class_balanced"}, augmentation={"geometry": "flips"})
    with pytest.raises(KeyboardInterrupt):
        finetuning.finetune(recipe)
    told = [r.getMessage() for r in caplog.records if r.name == "rsmeta.finetuning"]
    assert sum("corrected twice" in line for line in told) == 1
    assert sum("look direction" in line for line in told) == 1
