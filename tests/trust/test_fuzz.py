"""A slice of the cases of `benchmarks/trust_fuzz.py`, with another seed."""

import pytest
from fuzzing.cases import KINDS
from fuzzing.workers import Tally, prepare, run_cases

CASES = {"recipes": 200, "runs": 25, "scenes": 100}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_and_hostile_input_ends_well_or_as_an_error_of_ours(kind, tmp_path):
    prepare([kind], tmp_path)
    tally = Tally()
    for outcome in run_cases(kind, range(CASES[kind]), 1, tmp_path):
        tally.add(outcome)
    found = tally.values(1)[kind]
    assert found["findings"] == []
    outcomes = found["outcomes"]
    assert found["cases"] == CASES[kind]
    # Both ends occur: damage that is always or never noticed would test nothing.
    good = sum(count for name, count in outcomes.items() if name.startswith("success"))
    assert 0.05 < good / CASES[kind] < 0.95


def test_what_is_wrong_is_found(tmp_path, monkeypatch):
    """The harness itself: each way in which a case can go wrong."""
    import os

    import fuzzing.cases

    class Wrong:
        def warm_up(self, fixtures):
            pass

        def damage(self, rng, place):
            return rng.integers(10**9)

        def use(self, damaged, place):
            number = current[0]
            if number == 0:
                raise ValueError("not ours")
            if number == 1:
                (place.out.parent.parent / "escaped").touch()
            if number == 2:
                os.system("true")
            if number == 3:
                from rsmeta.errors import SceneError

                error = SceneError("x")
                error.args = ("\x1b[2J",)
                raise error
            (place.out / "product").touch()
            return "done"

    current = [0]
    monkeypatch.setitem(fuzzing.cases.KINDS, "recipes", Wrong)
    cases = fuzzing.cases.Cases("recipes", tmp_path, tmp_path / "room", 0)
    monkeypatch.chdir(tmp_path)
    found = []
    for current[0] in range(5):
        found.append(cases.run(current[0]))
    assert [outcome.name for outcome in found] == [
        "ValueError", "outside", "outside", "SceneError", "success: done",
    ]  # fmt: skip
    assert [outcome.finding is not None for outcome in found] == [True] * 4 + [False]
