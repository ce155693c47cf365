import pandas as pd
import pytest

from rsmeta.errors import StudyError
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
