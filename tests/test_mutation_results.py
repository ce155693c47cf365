"""Samples of mutants, and what is counted of them."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
try:
    import mutation
finally:
    sys.path.pop(0)

NAMES = [f"rsmeta.{f}.file.x_f__mutmut_{n}" for f in mutation.FOLDERS for n in range(50)]


def test_a_sample_has_as_many_of_each_folder_and_is_that_of_its_seed():
    drawn = mutation.draw(NAMES, 10, seed=3)
    by = [mutation.folder_of(name) for name in drawn]
    assert by == ["peft"] * 10 + ["meta"] * 10 + ["scenes"] * 10
    assert len(set(drawn)) == 30
    assert mutation.draw(NAMES[::-1], 10, seed=3) == drawn
    assert mutation.draw(NAMES, 10, seed=4) != drawn
    assert set(mutation.draw(NAMES, 20, seed=3)) > set(drawn)


def test_mutants_that_come_or_go_do_not_change_the_others_of_a_sample():
    drawn = mutation.draw(NAMES, 10, seed=3)
    fewer = mutation.draw([name for name in NAMES if name != drawn[0]], 10, seed=3)
    assert set(drawn) - set(fewer) == {drawn[0]}


def test_what_runs_out_of_time_is_detected_and_what_no_test_reaches_is_not():
    states = ["killed", "killed", "timeout", "survived", "no tests"]
    states.append("not checked")
    found = dict(zip(NAMES, states, strict=False))
    assert mutation.summary(list(found), found) == {
        "sampled": 6,
        "killed": 2,
        "timeout": 1,
        "survived": 1,
        "no tests": 1,
        "not checked": 1,
        "share_killed": 0.6,
    }


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("rsmeta.peft.norms.x_norm_sum__mutmut_3", "rsmeta.peft.norms.norm_sum"),
        ("rsmeta.peft.lora.x__as_slice__mutmut_12", "rsmeta.peft.lora._as_slice"),
        ("rsmeta.meta.unrolled.xǁUnrolledǁ_back__mutmut_1", "rsmeta.meta.unrolled.Unrolled._back"),
    ],
)
def test_a_mutation_is_told_in_one_line(monkeypatch, name, function):
    shown = (
        f"# {name}: survived\n--- a.py\n+++ a.py\n@@ -1 +1 @@\n def f():\n-    a = 1\n+    a = 2\n"
    )
    monkeypatch.setattr(mutation, "mutmut", lambda *arguments: shown)
    assert mutation.change(name) == f"{function}: a = 1 → a = 2"


def test_every_survivor_was_looked_at():
    results = json.loads(mutation.RESULTS.read_text(encoding="utf-8"))
    for sample in results["samples"]:
        assert all(row["looked at"] for row in sample["survivors"])
