from dataclasses import fields

import pytest
from typer.main import get_command

from rsmeta.cli import app
from rsmeta.errors import SceneError
from rsmeta.prediction_options import ClassificationOptions, PredictionOptions


def test_the_command_has_an_option_for_every_field_with_the_same_default():
    found = {option.name: option for option in get_command(app).commands["predict"].params}
    for field in fields(PredictionOptions):
        assert found[field.name].default == field.default
        assert found[field.name].help
    own = {"scenes", "bands", "run", "out", "truth", "as_json"}
    assert set(found) == own | {field.name for field in fields(PredictionOptions)}


def test_the_command_keeps_its_short_names():
    options = get_command(app).commands["predict"].params
    flags = {flag for option in options for flag in option.opts}
    assert {"--tta", "--complex", "--min-confidence", "--match-resolution", "--tile"} <= flags


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augmentation": "d8"}, "augmentation 'd8' is unknown; allowed: none, d4"),
        ({"complex_part": "phase"}, "'phase' is unknown; allowed: amplitude, power, None"),
        ({"on_error": "ignore"}, "on_error 'ignore' is unknown; allowed: stop, skip"),
        ({"address": "auto"}, "for the engine 'ray'"),
        ({"gpus": 0.5}, "for the engine 'ray'"),
        ({"strid": 3}, r"'strid' is unknown; did you mean 'stride'\? \(allowed: tile, stride"),
    ],
)
def test_what_is_not_allowed_is_told(values, message):
    with pytest.raises(SceneError, match=message):
        PredictionOptions.of(values)


def test_rows_have_no_products():
    assert ClassificationOptions.of({"complex_part": "power"}).complex_part == "power"
    with pytest.raises(SceneError, match="option 'products' is unknown"):
        ClassificationOptions.of({"products": "classes"})
