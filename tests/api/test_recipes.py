import pytest

import rsmeta as rs
from rsmeta import recipe as sections
from rsmeta.errors import RecipeError

DATA = {"source": "simulator"}


def test_a_recipe_by_keyword_is_a_recipe():
    made = rs.Recipe(name="a", data=DATA, inner=sections.InnerLoop(epochs=3))
    assert isinstance(made, sections.Recipe)
    same = sections.Recipe.model_validate({"name": "a", "data": DATA, "inner": {"epochs": 3}})
    assert made.model_dump() == same.model_dump()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"dat": DATA}, r"^data: is missing\ndat: unknown key; did you mean 'data'\?"),
        ({"data": DATA, "inner": {"epochs": 0}}, r"^inner\.epochs: 0: .* greater than or equal"),
    ],
)
def test_mistakes_are_a_line_each(values, line):
    with pytest.raises(RecipeError, match=line):
        rs.Recipe(name="a", **values)


def test_a_recipe_is_read_and_changed(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: a\ndata: {source: simulator}\npeft: {method: lora, rank: 4}\n")
    read = rs.Recipe.read(path, {"inner.epochs": 3})
    assert (read.peft.rank, read.inner.epochs) == (4, 3)
    other = read.changed({"peft.method": "adaptformer", "name": "b"})
    assert (other.name, other.peft.method, other.inner.epochs) == ("b", "adaptformer", 3)
    assert (read.name, read.peft.method) == ("a", "lora")
    with pytest.raises(RecipeError, match="did you mean 'rank'"):
        read.changed({"peft.rnk": 2})
    with pytest.raises(RecipeError, match="did you mean 'peft'"):
        rs.Recipe.read(path, {"pft.rank": 2})


def test_its_html_has_all_values_and_nothing_that_runs():
    data = {"source": "folder", "root": "<script>alert(1)</script>", "sensor": "rgb"}
    html = rs.Recipe(name="a", data=data, seed=77)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<tr><th>seed</th><td>77</td></tr>" in html
    for section in ("augmentation", "peft", "outer", "compute"):
        assert f"<summary>{section}</summary>" in html
