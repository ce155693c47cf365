import numpy as np
import pandas as pd
import pytest

from rsmeta.study.comparison import bootstrap, paired_differences, summarise
from rsmeta.study.config import Study
from rsmeta.study.markdown import study_tables
from rsmeta.study.tables import tables_of

ROWS = [
    ("base", "a", 0, 0.50), ("base", "a", 1, 0.60), ("base", "b", 0, 0.70), ("base", "b", 1, 0.80),
    ("new", "a", 1, 0.65), ("new", "a", 0, 0.52), ("new", "b", 0, 0.71),
]  # fmt: skip


@pytest.fixture
def results():
    table = pd.DataFrame(ROWS, columns=["variant", "data", "seed", "tail"])
    return table.assign(head=table["tail"], medium=table["tail"], average=table["tail"])


def test_means_and_standard_errors_are_over_seeds(results):
    summary = summarise(results, ["data", "variant"], ["tail"])
    assert summary.loc[("a", "base"), ("tail", "mean")] == pytest.approx(0.55)
    assert summary.loc[("a", "base"), ("tail", "error")] == pytest.approx(0.05)
    assert summary.loc[("a", "base"), ("seeds", "count")] == 2
    assert np.isnan(summary.loc[("b", "new"), ("tail", "error")])


def test_only_cells_of_the_same_level_and_seed_are_compared(results):
    found = paired_differences(results, "new", "base", ["data", "seed"], "tail")
    assert sorted(found) == pytest.approx([0.01, 0.02, 0.05])


def test_the_interval_is_that_of_the_mean():
    """For many normal differences it is the mean plus and minus 1.96 standard errors."""
    differences = np.random.default_rng(1).normal(2, 3, 400)
    found = bootstrap(differences)
    half = 1.96 * differences.std() / 20
    assert found.mean == pytest.approx(differences.mean())
    assert found.low == pytest.approx(differences.mean() - half, abs=0.05)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.05)
    assert found == bootstrap(differences)


def test_the_interval_of_equal_differences_is_a_point():
    found = bootstrap(np.full(5, 0.3))
    assert (found.low, found.mean, found.high) == pytest.approx((0.3, 0.3, 0.3))


def test_no_pair_is_an_error():
    with pytest.raises(ValueError, match="no pair"):
        bootstrap(np.array([]))


def test_tables_say_accuracy_and_differences_in_percent_and_points(results):
    study = Study.model_validate(
        {
            "name": "s", "recipe": "r.yaml", "baseline": "base",
            "variants": {"base": {}, "new": {}, "not yet run": {}},
            "axes": {"data": {"a": {}, "b": {}}},
        }
    )  # fmt: skip
    costs = {"training_seconds": [10, 20, 30, 40, 50, 60, 70], "passes_with_search": 1000}
    text = study_tables("s", tables_of(study, results.assign(**costs)))
    same = "| 55.0 ± 5.0 " * 4
    assert f"| a | base {same}| 2 | 15 s | 1,000 |" in text
    assert "| b | new | 71.0 | 71.0 | 71.0 | 71.0 | 1 | 70 s | 1,000 |" in text
    assert "Difference to base in points, and its 95 % interval:" in text
    assert "| all | new | +2.7 [+1.0, +5.0] |" in text
    assert f"| a | new {'| +3.5 [+2.0, +5.0] ' * 4}| 2 |" in text
    assert f"| b | new {'| +1.0 ' * 4}| 1 |" in text
    assert "not yet run" not in text


def test_without_axes_differences_are_of_all_pairs(results):
    study = Study.model_validate(
        {"name": "s", "recipe": "r.yaml", "baseline": "base", "variants": {"base": {}, "new": {}}}
    )
    only = results[results["data"] == "a"].drop(columns="data")
    costs = {"training_seconds": 10, "passes_with_search": 1000}
    text = study_tables("s", tables_of(study, only.assign(**costs)))
    assert f"| new {'| +3.5 [+2.0, +5.0] ' * 4}| 2 |" in text
