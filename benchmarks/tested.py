"""Tests and other commands run in processes of their own, and what became of them."""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Outcome:
    """What became of a check, with its counts, and why it failed or was skipped."""

    state: Literal["passed", "failed", "skipped"]
    counts: Mapping[str, Any]
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """A test that ran, with what it recorded, and the first line of why it did not pass."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    properties: Mapping[str, str]
    message: str = ""


@dataclass(frozen=True)
class RanTests:
    """Tests that ran in a process, with its return code and the last line that it wrote."""

    cases: Sequence[Case]
    code: int
    last_line: str = ""

    def outcome(self, **counts: Any) -> Outcome:
        """Failed if a test or the process did, skipped if no test passed."""
        by = Counter(case.outcome for case in self.cases)
        found = {"tests": dict(sorted(by.items())), **counts}
        failed = [f"{case.name}: {case.message}" for case in self.cases if case.outcome == "failed"]
        if failed or self.code != 0:
            return Outcome("failed", found, failed or [self.last_line])
        if not by["passed"]:
            return Outcome("skipped", found, sorted({case.message for case in self.cases}))
        return Outcome("passed", found)

    def total(self, name: str) -> int:
        """Sum of a property."""
        return sum(int(case.properties.get(name, 0)) for case in self.cases)


def read_junit(path: Path) -> list[Case]:
    """The tests of a JUnit file by pytest."""
    cases = []
    for element in ElementTree.parse(path).iter("testcase"):
        failed = [child for child in element if child.tag in ("failure", "error")]
        skipped = element.findall("skipped")
        reasons = [child.get("message", "").partition("\n")[0] for child in [*failed, *skipped]]
        cases.append(
            Case(
                f"{element.get('classname')}::{element.get('name')}",
                "failed" if failed else "skipped" if skipped else "passed",
                {p.get("name", ""): p.get("value", "") for p in element.iter("property")},
                reasons[0] if reasons else "",
            )
        )
    return cases


def run_tests(
    *arguments: str,
    python: Path | str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> RanTests:
    """Run pytest; slow tests too, unless the arguments say otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "junit.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={file}", "-m", "slow or not slow"]
        done = run([str(python), "-m", "pytest", *options, *arguments], environment)
        return RanTests(
            read_junit(file) if file.is_file() else [], done.returncode, last_line(done)
        )


def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command in the checkout."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """The last line that a command wrote, of its errors if it wrote any."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with {done.returncode} and wrote nothing"
