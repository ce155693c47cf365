"""Run the checks of trust, each in a process of its own, and keep their counts: `make trust`.

    python benchmarks/trust.py --parts kills ddp

Writes benchmarks/results/trust.json after every part; results of parts that are not run, or that
cannot be run here, stay as they were. Counts come from what ran: tests record them as properties
in pytest's JUnit file, or write a file of their own. Ends with 1 if a part failed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from csv import DictReader
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tested import ROOT, Case, Outcome, last_line, run, run_tests

RESULTS = ROOT / "benchmarks" / "results" / "trust.json"
LOWEST = ROOT / "constraints-lowest.txt"
LOWEST_PYTHON = ROOT / ".venv-lowest" / "bin" / "python"
PARALLEL = ("-n", "auto", "--dist", "loadfile")
LEAST_COVERAGE = 90
SHARED = Path(os.environ.get("RSMETA_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Settings:
    """What parts need to know: the number of mutated inputs, and a folder that is not kept."""

    cases: int
    folder: Path


# --- parts ----------------------------------------------------------------------------------------


def kills(settings: Settings) -> Outcome:
    """Processes killed by SIGKILL; what goes on ends as what was not disturbed."""
    tested = run_tests(
        "tests/train/test_killed_processes.py",
        "tests/scenes/test_resume.py",
        "-k",
        "killed",
    )
    keys = ("kill_points", "survived")
    by_test = {
        case.name.rpartition("::")[2]: {key: int(case.properties.get(key, 0)) for key in keys}
        for case in tested.cases
    }
    return tested.outcome(**{key: tested.total(key) for key in keys}, by_test=by_test)


def ddp(settings: Settings) -> Outcome:
    """Two processes against one: losses and gamma."""
    tested = run_tests("tests/train/test_distributed.py", "-k", "two_processes_end_where_one_does")
    runs = []
    for case in tested.cases:
        found = {k: float(v) for k, v in case.properties.items() if k.startswith("max difference")}
        if found:
            steps = int(case.properties["steps"])
            runs.append({"engine": case.properties["engine"], "steps": steps, **found})
    largest = [value for row in runs for key, value in row.items() if key.startswith("max")]
    return tested.outcome(max_difference=max(largest, default=None), runs=runs)


def scenes(settings: Settings) -> Outcome:
    """Every file of the collection of real scenes."""
    tested = run_tests("tests/scenes/test_all_real_scenes.py")
    table = SHARED / "data" / "scenes" / "scenes.csv"
    listed = []
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as file:
            listed = [row["path"] for row in DictReader(file)]
    by = scene_outcomes(tested.cases, listed)
    outcomes = Counter(by.values())
    rare = {name: what for name, what in sorted(by.items()) if outcomes[what] < len(by) / 2}
    return tested.outcome(scenes=len(by), outcomes=dict(outcomes.most_common()), rare=rare)


def scene_outcomes(cases: Sequence[Case], listed: Sequence[str]) -> dict[str, str]:
    """What became of each scene, with all that tests say of it; listed ones may be without test."""
    found: dict[str, set[str]] = {name: set() for name in listed}
    for case in cases:
        if (name := case.properties.get("scene")) is not None:
            found.setdefault(name, set()).add(case.properties.get("outcome", case.outcome))
    return {name: "; ".join(sorted(what)) or "not run" for name, what in found.items()}


def properties(settings: Settings) -> Outcome:
    """Properties over random examples."""
    file = settings.folder / "properties.json"
    environment = {"RSMETA_TRUST_COUNTS": str(file), "HYPOTHESIS_PROFILE": "trust"}
    tested = run_tests("tests/trust", *PARALLEL, environment=environment)
    if not file.is_file():
        found = tested.outcome()
        return Outcome("failed", found.counts, [*found.problems, "no counts were written"])
    by = json.loads(file.read_text(encoding="utf-8"))
    examples = sum(count for outcomes in by.values() for count in outcomes.values())
    return tested.outcome(properties=len(by), examples=examples, by_property=by)


def fuzz(settings: Settings) -> Outcome:
    """Mutated recipes, run folders and rasters."""
    file = settings.folder / "fuzz.json"
    command = [sys.executable, "benchmarks/trust_fuzz.py", "--cases", str(settings.cases)]
    done = run([*command, "--out", str(file)])
    counts = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if done.returncode != 0 or not counts:
        return Outcome("failed", counts, [last_line(done)])
    return Outcome("passed", counts)


def versions(settings: Settings) -> Outcome:
    """Lowest versions that resolve, and those installed here."""
    pinned = pinned_versions(LOWEST.read_text(encoding="utf-8"))
    found = installed_versions()
    return Outcome("passed", {"lowest": {name: pinned[name] for name in found}, "newest": found})


def lowest(settings: Settings) -> Outcome:
    """The fast tests with the lowest versions, in the environment that `make lowest` makes."""
    if not LOWEST_PYTHON.is_file():
        return Outcome("skipped", {}, ["there is no environment of lowest versions: make lowest"])
    code = "import sys; sys.path.insert(0, 'benchmarks'); import json, trust; "
    code += "print(json.dumps(trust.installed_versions()))"
    done = run([str(LOWEST_PYTHON), "-c", code])
    if done.returncode != 0:
        return Outcome("failed", {}, [last_line(done)])
    tested = run_tests("-m", "not slow", *PARALLEL, python=LOWEST_PYTHON)
    return tested.outcome(versions=json.loads(done.stdout))


def wheel(settings: Settings) -> Outcome:
    """The built wheel, installed, without the checkout."""
    return run_tests("tests/test_wheel.py").outcome()


def coverage(settings: Settings) -> Outcome:
    """Lines and branches of the package that the tests run, from what `make coverage` left."""
    if not (ROOT / ".coverage").is_file():
        return Outcome("skipped", {}, ["no coverage was measured: make coverage"])
    file = settings.folder / "coverage.json"
    done = run([sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(file)])
    if done.returncode != 0:
        return Outcome("failed", {}, [last_line(done)])
    totals = json.loads(file.read_text(encoding="utf-8"))["totals"]
    shares = {
        "percent_of_lines": 100 * totals["covered_lines"] / totals["num_statements"],
        "percent_of_branches": 100 * totals["covered_branches"] / totals["num_branches"],
        "percent": totals["percent_covered"],
    }
    least = min(shares.values())
    return Outcome(
        "passed" if least >= LEAST_COVERAGE else "failed",
        {name: round(share, 1) for name, share in shares.items()},
        [] if least >= LEAST_COVERAGE else [f"below {LEAST_COVERAGE} %"],
    )


PARTS: dict[str, Callable[[Settings], Outcome]] = {
    "kills": kills,
    "ddp": ddp,
    "scenes": scenes,
    "properties": properties,
    "fuzz": fuzz,
    "versions": versions,
    "lowest": lowest,
    "wheel": wheel,
    "coverage": coverage,
}


# --- versions -------------------------------------------------------------------------------------


def requirements() -> list[Requirement]:
    """What the package and its tests require directly, by names in the form of registries."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {}
    for entry in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        requirement = Requirement(entry)
        requirement.name = canonicalize_name(requirement.name)
        found[requirement.name] = requirement
    return [found[name] for name in sorted(found)]


def pinned_versions(constraints: str) -> dict[str, str]:
    """Versions of a file of constraints, by name; all of them are pinned."""
    lines = [line.partition("#")[0].strip() for line in constraints.splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonicalize_name(name): pinned for name, pinned in pairs}


def installed_versions() -> dict[str, str]:
    """Versions in this environment of all that is required directly."""
    found = {}
    for name in (requirement.name for requirement in requirements()):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


# --- results --------------------------------------------------------------------------------------


@dataclass
class Results:
    """The file of results, written after every part."""

    path: Path
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Those of before, or none."""
        stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return cls(path, stored.get("parts", {}))

    def add(self, name: str, outcome: Outcome, seconds: float) -> dict[str, Any]:
        """Take a part's result in place of the one before, and write the file.

        What was skipped leaves an earlier result: it cannot be run here, but was elsewhere.
        """
        result = {"state": outcome.state, "seconds": round(seconds), "commit": commit()}
        result |= {"problems": list(outcome.problems)} if outcome.problems else {}
        result |= outcome.counts
        if outcome.state != "skipped" or name not in self.parts:
            self.parts[name] = result
        ordered = {part: self.parts[part] for part in PARTS if part in self.parts}
        text = json.dumps({"machine": machine(), "parts": ordered}, indent=2, ensure_ascii=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".partial")
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(self.path)
        return result


def commit() -> str | None:
    """Of the checkout, marked where files were changed since."""
    done = run(["git", "describe", "--always", "--dirty", "--exclude=*"])
    return done.stdout.strip() if done.returncode == 0 else None


def machine() -> dict[str, Any]:
    """Processor, cores and versions."""
    from rsmeta.model_card import current_versions

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"processor": (names or ["unknown"])[0], "cores": os.cpu_count(), **current_versions()}


def told(name: str, result: Mapping[str, Any]) -> str:
    """A line about a part: its numbers and outcomes, and its problems."""
    facts = []
    for key, value in result.items():
        if isinstance(value, int | float) and key != "seconds":
            facts.append(f"{key} {value}")
        elif key in ("tests", "outcomes"):
            facts += [f"{what} {count}" for what, count in value.items()]
    facts += result.get("problems", [])
    return f"{name:10} {result['state']:7} {result['seconds']:5} s  {', '.join(facts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cases", type=int, default=20_000, help="Mutated inputs (fuzz).")
    parser.add_argument("--out", type=Path, default=RESULTS, help="File of results.")
    arguments = parser.parse_args()
    results, failed = Results.read(arguments.out), False
    for name in arguments.parts:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outcome = PARTS[name](Settings(arguments.cases, Path(folder)))
        result = results.add(name, outcome, time.perf_counter() - started)
        print(told(name, result), flush=True)
        failed = failed or outcome.state == "failed"
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
