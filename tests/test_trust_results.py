"""The counts of `make trust` are those of what ran."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
try:
    import trust
    from tested import Case, Outcome, RanTests, read_junit, run_tests
finally:
    sys.path.pop(0)


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A file of tests of every outcome, run by pytest."""
    file = tmp_path_factory.mktemp("tests") / "test_outcomes.py"
    file.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('kills', [3, 4])\n"
        "def test_killed(record_property, kills):\n"
        "    record_property('kill_points', kills)\n"
        "    assert kills == 3, 'lost a run'\n"
        "def test_absent():\n"
        "    pytest.skip('no data')\n"
    )
    return run_tests(str(file))


def test_outcomes_and_counts_are_those_of_the_tests(tested):
    found = tested.outcome(kill_points=tested.total("kill_points"))
    assert found.state == "failed"
    assert found.counts == {
        "tests": {"failed": 1, "passed": 1, "skipped": 1},
        "kill_points": 7,
    }
    (problem,) = found.problems
    assert "test_killed[4]" in problem
    assert "lost a run" in problem


def test_what_did_not_run_did_not_pass(tmp_path):
    missing = run_tests(str(tmp_path / "nothing.py")).outcome()
    assert missing.state == "failed"
    assert "nothing.py" in missing.problems[0]
    absent = RanTests([Case("a", "skipped", {}, "no data")], 0).outcome()
    assert (absent.state, absent.problems) == ("skipped", ["no data"])
    assert RanTests([Case("a", "passed", {})], 1, "crashed").outcome().problems == ["crashed"]


def test_errors_of_fixtures_are_failures(tmp_path):
    file = tmp_path / "junit.xml"
    file.write_text(
        "<testsuites><testsuite><testcase classname='a' name='b'>"
        "<error message='no disk&#10;trace'/></testcase></testsuite></testsuites>"
    )
    assert read_junit(file) == [Case("a::b", "failed", {}, "no disk")]


def test_every_listed_scene_has_an_outcome():
    cases = [
        Case("1", "passed", {"scene": "a.tif", "outcome": "mapped"}),
        Case("2", "passed", {"scene": "a.tif", "outcome": "mapped"}),
        Case("3", "passed", {"scene": "b.tif", "outcome": "refused"}),
        Case("4", "failed", {"scene": "b.tif"}),
    ]
    assert trust.scene_outcomes(cases, ["a.tif", "c.tif"]) == {
        "a.tif": "mapped",
        "b.tif": "failed; refused",
        "c.tif": "not run",
    }


def test_results_of_other_parts_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "machine", lambda: {"cores": 2})
    path = tmp_path / "trust.json"
    trust.Results.read(path).add("ddp", Outcome("passed", {"max_difference": 1e-7}), 1.4)
    trust.Results.read(path).add("kills", Outcome("failed", {"survived": 1}, ["lost"]), 2)
    trust.Results.read(path).add("ddp", Outcome("skipped", {}, ["no second process"]), 0)
    parts = json.loads(path.read_text())["parts"]
    assert list(parts) == ["kills", "ddp"]
    assert parts["ddp"]["max_difference"] == 1e-7
    assert (parts["kills"]["state"], parts["kills"]["problems"]) == ("failed", ["lost"])
    trust.Results.read(path).add("kills", Outcome("passed", {"survived": 2}), 2)
    assert json.loads(path.read_text())["parts"]["kills"].keys() == {
        "state", "seconds", "commit", "survived",
    }  # fmt: skip


def test_a_part_that_failed_fails_the_command(tmp_path, monkeypatch, capsys):
    ran = []
    parts = {
        "fuzz": lambda settings: ran.append(settings.cases) or Outcome("failed", {}, ["hang"]),
        "ddp": lambda settings: Outcome("passed", {"max_difference": 1e-7}),
    }
    monkeypatch.setattr(trust, "PARTS", parts)
    monkeypatch.setattr(trust, "machine", dict)
    arguments = ["trust.py", "--cases", "5", "--out", str(tmp_path / "trust.json")]
    for chosen, code in (([], 1), (["--parts", "ddp"], 0)):
        monkeypatch.setattr(sys, "argv", [*arguments, *chosen])
        with pytest.raises(SystemExit) as ended:
            trust.main()
        assert ended.value.code == code
    assert ran == [5]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["fuzz", "failed"], ["ddp", "passed"], ["ddp", "passed"],
    ]  # fmt: skip
    assert lines[0].endswith("hang")
    assert lines[1].endswith("max_difference 1e-07")


def test_the_lowest_versions_are_those_that_the_project_allows():
    """Every direct dependency is pinned, at a version that its lower bound admits."""
    pinned = trust.pinned_versions(trust.LOWEST.read_text())
    for requirement in trust.requirements():
        assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_parts_that_need_what_is_absent_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "LOWEST_PYTHON", tmp_path / "python")
    found = trust.lowest(trust.Settings(1, tmp_path))
    assert (found.state, found.problems) == (
        "skipped",
        ["there is no environment of lowest versions: make lowest"],
    )
