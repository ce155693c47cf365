import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from rsmeta.errors import RecipeError
from rsmeta.finetuning import finetune
from rsmeta.peft.gamma_table import start_values
from rsmeta.peft.sites import Site
from rsmeta.recipe import GammaTable, Lora, Position
from rsmeta.runs import load_run

SITES = [Site(block, position) for block in range(3) for position in (Position.Q, Position.FC1)]
VALUES = [0.5, 1.0, 2.0, 3.0, 0.25, 4.0]


@pytest.fixture
def table(tmp_path):
    rows = [(site.block, site.position.value, g) for site, g in zip(SITES, VALUES, strict=True)]
    file = tmp_path / "modulators.csv"
    pd.DataFrame(rows, columns=["block", "position", "gamma"]).to_csv(file, index=False)
    return file


def starting(file, pattern):
    return Lora(gamma_from=GammaTable(file=file, pattern=pattern))


def test_one_value_is_for_all():
    assert start_values(Lora(gamma=2), SITES) == [2.0] * 6


def test_learned_values_stand_where_they_were(table):
    chosen = [SITES[4], SITES[1]]
    assert start_values(starting(table, "learned"), chosen) == [0.25, 1.0]


def test_their_mean_stands_everywhere(table):
    assert start_values(starting(table, "mean"), SITES) == [np.mean(VALUES)] * 6


def test_shuffled_values_are_the_same_at_other_sites_and_again_the_same(table):
    shuffled = start_values(starting(table, "shuffled"), SITES)
    assert shuffled != VALUES
    assert sorted(shuffled) == sorted(VALUES)
    assert shuffled == start_values(starting(table, "shuffled"), SITES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no table of modulators"),
        ("block,position\n0,q\n", "is no table of modulators"),
        ("block,position,gamma\n0,nowhere,1\n", "is no table of modulators"),
        ("block,position,gamma\n0,q,1\n", "has no modulator of block 0 fc1"),
        ("block,position,gamma\n0,q,-1\n", "not above 0"),
        ("block,position,gamma\n0,q,\n", "not above 0"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path, text, message):
    file = tmp_path / "wrong.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RecipeError, match=message) as error:
        start_values(starting(file, "learned"), SITES)
    assert len(str(error.value).splitlines()) == 1


def test_a_run_trains_with_the_modulators_of_another_and_needs_it_no_more(tiny_recipe):
    learned = finetune(tiny_recipe()).folder / "modulators.csv"
    source = {"file": learned, "pattern": "shuffled"}
    peft = {"modulators": "fixed", "gamma_from": source, "rank": 2, "blocks": "last:2"}
    run = finetune(tiny_recipe(peft=peft)).folder
    again = pd.read_csv(run / "modulators.csv")["gamma"]
    before = pd.read_csv(learned)["gamma"]
    assert sorted(again) == pytest.approx(sorted(before), rel=1e-5)
    assert not np.allclose(again, before)
    learned.unlink()
    loaded = load_run(run).classifier.modulators.values().values()
    assert list(loaded) == pytest.approx(again.tolist(), rel=1e-6)


def test_two_starts_are_an_error(table):
    with pytest.raises(ValidationError, match="leave one out"):
        Lora(gamma=2, gamma_from=GammaTable(file=table))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("inf,q,1", "is no table of modulators"),
        ("1.5,q,1", "is no table of modulators"),
        ("0,q,large", "is no table of modulators"),
        ("0,q,1\n0,fc1,2\n0,q,3", "has several modulators of block 0 q"),
    ],
)
def test_blocks_are_whole_numbers_and_stand_once(tmp_path, rows, message):
    """A block of 1.5 is not 1, and of two values none is taken without a word."""
    (file := tmp_path / "wrong.csv").write_text(f"block,position,gamma\n{rows}\n")
    with pytest.raises(RecipeError, match=message) as error:
        start_values(starting(file, "mean"), SITES[:1])
    assert len(str(error.value).splitlines()) == 1
