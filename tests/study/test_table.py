from dataclasses import replace

import pandas as pd
import pytest

from rsmeta.errors import StudyError
from rsmeta.recipe import Recipe
from rsmeta.study.cells import Cell
from rsmeta.study.table import StudyTable

ROW = {
    "cell": "a",
    "variant": "x",
    "seed": 0,
    "passes": 3,
    "gamma_of": "",
    "gamma_pattern": "",
    "recipe": "{}",
}


def write(folder, *rows):
    pd.DataFrame(rows).to_csv(folder / "tiny.csv", index=False)


@pytest.mark.parametrize("column", ["cell", "recipe"])
def test_a_row_that_has_lost_what_it_stands_for_is_named(tmp_path, column):
    write(tmp_path, ROW, ROW | {column: None})
    with pytest.raises(StudyError, match=f"row 2 has no '{column}'; restore or remove") as caught:
        StudyTable(tmp_path, "tiny")
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_is_named(tmp_path):
    write(tmp_path, {key: value for key, value in ROW.items() if key != "passes"})
    with pytest.raises(StudyError, match="no column 'passes'"):
        StudyTable(tmp_path, "tiny")


@pytest.mark.parametrize("record", ["{}", "5", "[", '{"peft": {"method": "of another version"}}'])
def test_records_that_mean_nothing_now_are_kept_as_they_are(tmp_path, record):
    write(tmp_path, ROW | {"recipe": record})
    table = StudyTable(tmp_path, "tiny")
    assert list(table.results["cell"]) == ["a"]
    assert list(table.results["recipe"]) == [record]


def test_work_is_claimed_by_one_and_what_the_other_wrote_is_seen(tmp_path):
    one, other = StudyTable(tmp_path, "tiny"), StudyTable(tmp_path, "tiny")
    with one.claim("a") as free, other.claim("a") as second, other.claim("b") as apart:
        assert (free, second, apart) == (True, False, True)
        write(tmp_path, ROW)
    assert other.results.empty
    with other.claim("a") as free:
        assert free
        assert list(other.results["cell"]) == ["a"]


def test_a_row_that_another_process_has_added_is_kept(tmp_path):
    cells = [
        Cell(name, {}, seed, Recipe(name="base", data={"source": "simulator"}), tmp_path)
        for seed, name in enumerate(("x", "y"))
    ]
    cells[1] = replace(cells[1], recipe=cells[1].recipe.model_copy(update={"seed": 1}))
    gamma = pd.DataFrame({"block": [0], "position": ["q"], "gamma": [1.5]})
    tables = [StudyTable(tmp_path, "tiny") for _ in cells]
    for table, cell in zip(tables, cells, strict=True):
        table.add(cell, {"passes": 3}, gamma)
    found = StudyTable(tmp_path, "tiny")
    assert list(found.results["variant"]) == ["x", "y"]
    assert [len(found.gamma(cell)) for cell in cells] == [1, 1]


def test_a_lock_that_cannot_be_taken_is_told_in_one_line(tmp_path):
    table = StudyTable(tmp_path, "tiny")
    (tmp_path / ".tiny_locks" / "a").mkdir(parents=True)
    with pytest.raises(StudyError, match="cannot be written"), table.claim("a"):
        pass
