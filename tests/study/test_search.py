"""A search through the public command: trials, their winners, and what they cost."""

import re

import pandas as pd
import pytest
import yaml

from rsmeta.recipe import Recipe
from rsmeta.study.trial import validation_accuracy

optuna = pytest.importorskip("optuna")

STUDY = {
    "name": "tiny",
    "recipe": "base.yaml",
    "seeds": [0],
    "baseline": "MetaPEFT",
    "variants": {"MetaPEFT": {}},
    "search": {"budgets": [1, 2], "fraction": 0.3},
}
RECIPE = {
    "name": "tiny",
    "data": {"source": "simulator", "largest_class": 6, "imbalance": 3, "test_per_class": 1},
    "backbone": {"image_size": 32},
    "inner": {"epochs": 1, "batch_size": 8},
    "outer": {"every": 2, "batch_size": 11},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, rsmeta_command):
    """A search that was interrupted after the first trial and its winner."""
    work = tmp_path_factory.mktemp("search")
    (work / "base.yaml").write_text(yaml.safe_dump(RECIPE))
    (work / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
    first = rsmeta_command("study", "tiny.yaml", "--limit", "2", cwd=work)
    last = rsmeta_command("study", "tiny.yaml", cwd=work)
    return work, first, last


def test_a_trial_that_diverges_is_pruned_and_has_cost_what_it_ran():
    diverging = {**RECIPE, "inner": RECIPE["inner"] | {"learning_rate": 1e19}}
    trial = optuna.trial.FixedTrial({})
    with pytest.raises(optuna.TrialPruned, match="epoch 1"):
        validation_accuracy(trial, Recipe.model_validate(diverging), 0.3)
    assert trial.user_attrs["passes"] > 0


def trials(work):
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(work / "studies" / "tiny_trials.log"))
    )
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage).get_trials()


def test_each_trial_is_run_once(finished):
    work, first, last = finished
    assert [line for line in first.stderr.splitlines() if " of " in line and "seed" in line] == [
        "1 of 1 cells: MetaPEFT, seed 0",
        "1 of 1 trials: Optuna, seed 0",
    ]
    assert "2 of 2 trials: Optuna, seed 0" in last.stderr
    assert len(trials(work)) == 2


def test_trials_never_see_the_test_chips(finished):
    """Their accuracy is a share of the held-out training chips of each class."""
    for trial in trials(finished[0]):
        assert 0 <= trial.value <= 1
        assert trial.user_attrs["passes"] > 0
        assert trial.intermediate_values.keys() == {0}


def test_winners_are_variants_whose_cost_is_that_of_all_trials(finished):
    work, _, last = finished
    cost = [trial.user_attrs["passes"] for trial in trials(work)]
    rows = [line for line in last.stdout.splitlines() if line.startswith("| Optuna, ")]
    table = {row.split("|")[1].strip(): row.split("|")[-2].strip() for row in rows[:2]}
    results = pd.read_csv(work / "studies" / "tiny.csv")
    assert set(table) == {"Optuna, 1 trials", "Optuna, 2 trials"}
    best = max(range(2), key=lambda number: trials(work)[number].value)
    trained = results["passes"].tolist()
    one, two = (float(re.sub(",", "", table[f"Optuna, {n} trials"])) for n in (1, 2))
    assert any(one == pytest.approx(cost[0] + passes, abs=1) for passes in trained)
    assert any(two == pytest.approx(sum(cost) + passes, abs=1) for passes in trained)
    assert (one == pytest.approx(two - cost[1], abs=1)) or best == 1


def test_the_page_has_the_figures_inside(finished):
    work = finished[0]
    page = (work / "studies" / "tiny.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert {path.stem for path in (work / "studies" / "tiny_figures").iterdir()} == {
        "variants",
        "cost",
    }
