from pathlib import Path

import pytest

from rsmeta.errors import RecipeError
from rsmeta.plain_yaml import LARGEST_FILE, parse_yaml, read_yaml
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: {c: 2, c: 3}\n", "key 'c' stands twice .* line 2"),
        ("a: 1\na: 1\n", "key 'a' stands twice"),
        (LAUGHS, "more than 100000 values"),
        ("a: &a [*a]\n", "nested more than 50 deep"),
        ("a: &a {b: *a}\n", "nested more than 50 deep"),
        ("[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("[" * 9999 + "]" * 9999, "nested more than 50 deep"),
        ("a: 99999999999999999999", "more than 64 bits"),
        ("a: " + "9" * 5000, "digits"),
        ('a: "x\\0"', r"character U\+0000"),
        ('a: "\\ud800"', r"character U\+D800"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: 2024-13-41", "month must be in 1..12"),
        ("a: [", "while parsing"),
    ],
)
def test_more_than_plain_values_is_one_line(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_aliases_and_merged_keys_stay(tmp_path):
    text = "base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\nlist: [*base, *base]\n"
    (tmp_path / "a.yaml").write_text(text)
    base = {"a": 1, "b": 2}
    expected = {"base": base, "other": {"a": 1, "b": 3}, "list": [base, base]}
    assert read_yaml(tmp_path / "a.yaml") == expected


def test_a_huge_file_is_not_read(tmp_path):
    (tmp_path / "a.yaml").write_text("#" * (LARGEST_FILE + 1))
    for file in (tmp_path / "a.yaml", Path("/dev/zero")):
        with pytest.raises(RecipeError, match=f"more than {LARGEST_FILE} bytes"):
            read_recipe(Recipe, file)


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e999"])
def test_numbers_of_recipes_are_finite(tmp_path, value):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"name: x\ndata: {{source: simulator}}\ninner: {{learning_rate: {value}}}\n")
    with pytest.raises(RecipeError, match=r"inner\.learning_rate"):
        read_recipe(Recipe, file)
