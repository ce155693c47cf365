import pytest

from rsmeta.class_names import name_problems, unprintable


@pytest.mark.parametrize("name", ["ship", "Straße", "حقل", "👩‍🌾 field", "-5", "+1.5", "a=b"])
def test_names_in_any_script_are_good(name):
    assert name_problems([name]) == []


@pytest.mark.parametrize(
    "character", ["\n", "\x00", "\x7f", "\u2028", "\ud800", "\ufffe", "\u202e", "\u2066"]
)
def test_characters_that_cannot_be_shown_are_named(character):
    assert unprintable(f"sea{character}ice") == f"U+{ord(character):04X}"
    (problem,) = name_problems(["ship", f"sea{character}ice"])
    assert f"U+{ord(character):04X}" in problem


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+ship", "-cmd"])
def test_formulas_are_refused(name):
    (problem,) = name_problems([name])
    assert "for a formula" in problem


def test_empty_names_are_refused():
    assert len(name_problems(["", "  "])) == 2
