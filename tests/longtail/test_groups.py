import numpy as np
import pytest

from rsmeta.errors import DataError, RecipeError
from rsmeta.longtail.groups import class_groups
from rsmeta.longtail.metrics import Group
from rsmeta.recipe import GroupFile, LongTail, Recipe
from rsmeta.recipe_reading import override, validate

CLASSES = ["ship", "plane", "large vehicle"]
COUNTS = np.array([500, 60, 3])
GROUPS = [Group.TAIL, Group.HEAD, Group.MEDIUM]
YAML = """# as in the paper's code
few_classes:
  - ship
  - elsewhere
med_classes: [large vehicle]
many_classes: [plane]
"""
CSV = "class,group\nplane,head\nlarge vehicle,medium\nelsewhere,tail\nship,tail\n"


@pytest.fixture
def given(tmp_path):
    """The groups that a file of this content gives."""

    def given(name, text):
        (tmp_path / name).write_text(text)
        config = GroupFile(by="file", file=tmp_path / name)
        return class_groups(config, CLASSES, COUNTS)

    return given


def test_without_a_file_the_counts_decide():
    assert class_groups(LongTail(), CLASSES, COUNTS) == [Group.HEAD, Group.MEDIUM, Group.TAIL]


@pytest.mark.parametrize(
    ("name", "text"), [("groups.yaml", YAML), ("groups.yml", YAML), ("groups.csv", CSV)]
)
def test_a_file_decides_whatever_the_counts(given, name, text):
    assert given(name, text) == GROUPS


def test_a_list_may_be_empty(given):
    text = "few_classes:\nmed_classes: [ship, plane]\nmany_classes: [large vehicle]\n"
    assert given("groups.yaml", text) == [Group.MEDIUM, Group.MEDIUM, Group.HEAD]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.csv", CSV.replace("ship,tail\n", ""), "does not have the classes ship"),
        ("g.csv", CSV + "ship,head\n", "class 'ship' stands twice"),
        ("g.csv", CSV.replace("medium", "middle"), "line 3: 'middle' is none of head, medium"),
        ("g.csv", CSV.replace("class,", "name,"), "needs the columns class and group; it has name"),
        ("g.csv", "", "g.csv'"),
        ("g.yaml", YAML + "many: []\n", "exactly the lists many_classes, med_classes, few_classes"),
        ("g.yaml", YAML.replace("[plane]", "plane"), "'many_classes' is no list"),
        ("g.yaml", YAML.replace("[plane]", "[ship]"), "class 'ship' stands twice"),
        ("g.yaml", "a: [", "g.yaml'"),
    ],
)
def test_a_file_that_does_not_say_every_class_once_is_refused(given, name, text, message):
    with pytest.raises(DataError, match=message.replace("[", r"\[")) as caught:
        given(name, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    config = GroupFile(by="file", file=tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"nowhere\.csv' does not exist \(long_tail\.file\)"):
        class_groups(config, CLASSES, COUNTS)


def test_a_recipe_says_counts_or_file_but_not_both():
    values = {"name": "x", "data": {"source": "simulator"}}
    plain = validate(Recipe, values | {"long_tail": {"head_above": 9, "tail_below": 3}})
    assert plain.long_tail == LongTail(head_above=9, tail_below=3)
    changed = override(Recipe, dict(values), ["long_tail.by=file", "long_tail.file=a.csv"])
    assert isinstance(validate(Recipe, changed).long_tail, GroupFile)
    both = {"by": "file", "file": "a.csv", "head_above": 9}
    with pytest.raises(RecipeError, match="head_above: unknown key"):
        validate(Recipe, values | {"long_tail": both})
    with pytest.raises(RecipeError, match=r"long_tail\.file: unknown key"):
        validate(Recipe, values | {"long_tail": {"file": "a.csv"}})
