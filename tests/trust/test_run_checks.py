"""A run whose parts do not fit each other, or this version, is refused with the reason."""

import shutil

import pytest
import yaml
from untrained_runs import change_card, write_untrained_run

from rsmeta import __version__
from rsmeta.errors import RunError
from rsmeta.runs import MODEL, load_run, read_model

CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_untrained_run(tmp_path_factory.mktemp("runs") / "run", CLASSES)


@pytest.fixture
def run(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"backbone_sha256": "0" * 64}, "trained on other weights of 'embedded'"),
        ({"bands": ["VH", "VV"]}, "name different bands"),
        ({"bands": ["VV"]}, "statistics are not of 1 bands"),
        ({"classes": ["a", "b"]}, "does not hold the tensors"),
        ({"classes": ["a", "b", "c", "d"]}, "does not hold the tensors"),
        ({"classes": ["a", "b", "b"]}, "a class stands twice"),
        ({"classes": "abc"}, "classes: Input should be a valid list"),
        ({"classes": []}, "classes: List should have at least 1 item"),
        ({"sites": []}, "does not hold the tensors"),
        ({"sites": [{"block": 0, "position": "nowhere"}]}, "nowhere"),
        ({"tile_size": 0}, "tile_size: .* greater than or equal to 1"),
        ({"tile_size": "16"}, "tile_size: .* valid integer"),
        ({"temperature": float("nan")}, "temperature: .* finite number"),
        ({"temperature": 0}, "temperature: .* greater than 0"),
        ({"pixel_size": -1}, "pixel_size: .* greater than 0"),
        ({"statistics": {"mean": [0.0, 1.0], "std": [1.0, 0.0]}}, r"std\.1: .* greater than 0"),
        ({"statistics": {"mean": [1e999, 0.0], "std": [1.0, 1.0]}}, r"mean\.0: .* finite"),
        ({"statistics": "none"}, "statistics: "),
        ({"versions": None}, "versions: "),
        ({"versions": {"rsmeta": "99.0.1"}}, f"made by rsmeta 99.0.1, this is {__version__}"),
        ({"versions": {"rsmeta": "new"}}, "made by rsmeta new"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(run, values, reason):
    change_card(run, **values)
    with pytest.raises(RunError, match=reason) as caught:
        load_run(run)
    assert "\n" not in str(caught.value) and "run" in str(caught.value)


def test_another_version_of_the_same_line_and_an_older_one_are_loaded(run):
    for version in (f"{__version__}.dev9", "0.0.1"):
        change_card(run, versions={"rsmeta": version})
        assert load_run(run).classes == CLASSES
    change_card(run, versions={}, key_of_a_later_version=[1, 2])
    assert load_run(run).classes == CLASSES


def test_a_flipped_bit_in_a_tensor_is_found(run):
    content = bytearray((run / MODEL).read_bytes())
    content[-3] ^= 1
    (run / MODEL).write_bytes(content)
    with pytest.raises(RunError, match="its tensors are not those that were written"):
        load_run(run)


def test_a_model_without_a_digest_is_of_an_older_version(run):
    change_card(run, tensors_sha256=None)
    card, state = read_model(run / MODEL)
    assert card.classes == CLASSES and len(state) > 2


def test_a_recipe_of_another_model_is_refused(run):
    values = yaml.safe_load((run / "recipe.yaml").read_text("utf-8"))
    values["peft"]["rank"] = 3
    (run / "recipe.yaml").write_text(yaml.safe_dump(values), "utf-8")
    with pytest.raises(RunError, match="does not hold the tensors"):
        load_run(run)
