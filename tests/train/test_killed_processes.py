"""A run whose process is killed by the system, anywhere, ends as the one that was not."""

import os
import signal

import numpy as np
import pytest
from killed_runs import SECTIONS, places, process_at
from small_runs import compare, small

from rsmeta.finetuning import finetune, resume

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch, without_report):
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing disturbs."""
    return finetune(small(tmp_path_factory.mktemp("whole"), **SECTIONS)).folder


def finished(runs):
    return {path.resolve() for path in runs.iterdir() if not path.name.startswith(".")}


def test_a_process_killed_at_any_place_loses_nothing(tmp_path, whole, record_property):
    """One run, killed at every place in turn; some draws of them within the writing of a file."""
    runs = tmp_path / "runs"
    for number, place in enumerate(places()):
        assert not runs.exists() or not finished(runs), place
        process = process_at(runs, number)
        process.join()
        assert process.exitcode == -signal.SIGKILL, place
    record_property("kill_points", len(places()))
    (run,) = finished(runs)
    compare(run, whole)
    record_property("survived", len(places()))


def test_a_process_killed_at_random_moments_loses_nothing(tmp_path, whole, record_property):
    """The next process goes on, until a run is finished, and then with a new one."""
    delays, kills, runs = np.random.default_rng(0), 0, tmp_path / "runs"
    while kills < 10:
        process = process_at(runs)
        process.join(delays.uniform(0.1, 6))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    record_property("kill_points", kills)
    for draft in runs.glob(".*.partial"):
        if (draft / "recipe.yaml").is_file():
            resume(draft)
    assert finished(runs)
    for run in finished(runs):
        compare(run, whole)
    record_property("survived", kills)
