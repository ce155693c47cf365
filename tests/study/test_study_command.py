"""A study through the public command: two cells a seed, resumed, with tables."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import yaml

STUDY = {
    "name": "tiny",
    "recipe": "base.yaml",
    "seeds": [0],
    "baseline": "fixed",
    "variants": {
        "fixed": {"set": {"peft.modulators": "fixed"}},
        "learned": {},
        "shuffled": {"gamma_of": {"variant": "learned", "pattern": "shuffled"}},
    },
}
RECIPE = {
    "name": "tiny",
    "data": {"source": "simulator", "largest_class": 8, "imbalance": 4, "test_per_class": 2},
    "backbone": {"image_size": 32},
    "inner": {"epochs": 1, "batch_size": 8},
    "outer": {"every": 2, "batch_size": 11, "learning_rate": 0.1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    work = tmp_path_factory.mktemp("study")
    (work / "base.yaml").write_text(yaml.safe_dump(RECIPE))
    (work / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
    return work


def test_a_study_is_run_resumed_and_compared(folder, rsmeta_command):
    nothing = rsmeta_command("study", "tiny.yaml", "--limit", "0", cwd=folder, check=False)
    assert nothing.returncode == 1
    assert nothing.stderr.startswith("error: no cell of study 'tiny' has been run yet")
    first = rsmeta_command("study", "tiny.yaml", "--limit", "2", cwd=folder)
    assert "2 of 3 cells: learned, seed 0" in first.stderr
    before = pd.read_csv(folder / "studies" / "tiny.csv")
    assert before["variant"].tolist() == ["fixed", "learned"]
    last = rsmeta_command("study", "tiny.yaml", cwd=folder)
    assert last.stderr.splitlines() == ["3 of 3 cells: shuffled, seed 0"]
    results = pd.read_csv(folder / "studies" / "tiny.csv")
    kept = results.iloc[:2].drop(columns=["gamma_of", "gamma_pattern"])
    pd.testing.assert_frame_equal(kept, before[kept.columns])
    assert results["average"].between(0, 1).all()
    assert (results["peak_memory_megabytes"] > 100).all()
    gamma = pd.read_csv(folder / "studies" / "tiny_modulators.csv").groupby("cell", sort=False)
    fixed, learned, shuffled = (group["gamma"].to_numpy() for _, group in gamma)
    assert fixed == pytest.approx(1, rel=1e-5)
    assert sorted(shuffled) == pytest.approx(sorted(learned), rel=1e-4)
    assert shuffled != pytest.approx(learned, rel=1e-4)
    assert "| learned |" in last.stdout
    assert (folder / "studies" / "tiny.md").read_text().strip() == last.stdout.strip()


def test_two_processes_share_out_the_cells(folder, installed_command):
    (folder / "shared.yaml").write_text(yaml.safe_dump(STUDY | {"name": "shared"}))
    with ThreadPoolExecutor() as pool:
        started = [
            pool.submit(installed_command, "study", "shared.yaml", cwd=folder) for _ in range(2)
        ]
        told = [line for done in started for line in done.result().stderr.splitlines()]
    cells = sorted(line.partition(" cells: ")[2] for line in told if " cells: " in line)
    assert cells == sorted(f"{name}, seed 0" for name in STUDY["variants"])
    assert len(pd.read_csv(folder / "studies" / "shared.csv")) == 3
    assert pd.read_csv(folder / "studies" / "shared_modulators.csv")["cell"].nunique() == 3


def test_a_failing_cell_is_one_line_that_names_it(folder, rsmeta_command):
    values = STUDY | {"name": "wrong", "set": {"peft.blocks": [99]}}
    (folder / "wrong.yaml").write_text(yaml.safe_dump(values))
    done = rsmeta_command("study", "wrong.yaml", cwd=folder, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cell 'fixed, seed 0': peft.blocks: [99]")
    assert len(done.stderr.splitlines()) == 1


def test_results_from_before_a_new_setting_are_not_computed_again(folder, rsmeta_command):
    """The tables are made as if recipes had no `outer.held_out` yet: other records and keys."""
    folder = shutil.copytree(folder, folder.with_name("older"))
    rsmeta_command("study", "tiny.yaml", cwd=folder)
    tables = [folder / "studies" / name for name in ("tiny.csv", "tiny_modulators.csv")]
    written = [table.read_text() for table in tables]
    older = [text.replace('""held_out"": true, ', "") for text in written]
    for key in pd.read_csv(tables[0])["cell"]:
        older = [text.replace(key, key[::-1]) for text in older]
    assert older[0] != written[0]
    for table, text in zip(tables, older, strict=True):
        table.write_text(text)
    assert rsmeta_command("study", "tiny.yaml", cwd=folder).stderr == ""
