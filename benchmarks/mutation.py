"""Mutation testing of seeded samples of the mutants of peft/, meta/ and scenes/: `make mutation`.

    python benchmarks/mutation.py --per-folder 60 --seed 0

mutmut makes the mutants and runs the tests that reach them, settings are in pyproject.toml. It
keeps results in `mutants/`: what was interrupted goes on where it stopped. Writes
benchmarks/results/mutation.json; why survivors survive is in benchmarks/mutation_survivors.json.
"""

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tested import ROOT, last_line, run

FOLDERS = ("peft", "meta", "scenes")
MUTANTS = ROOT / "mutants"
REASONS = ROOT / "benchmarks" / "mutation_survivors.json"
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
NOT_RUN = "not checked"
DETECTED = ("killed", "timeout")
FIRST = "rsmeta.peft.norms.x_relative_norm__mutmut_1"  # mutmut makes all before it tests one


def outcomes() -> dict[str, str]:
    """What became of every mutant so far, by its name."""
    from mutmut.stats import status_by_exit_code

    found = {}
    for folder in FOLDERS:
        for path in sorted((MUTANTS / "rsmeta" / folder).rglob("*.meta")):
            codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
            found |= {name: status_by_exit_code[code] for name, code in codes.items()}
    return found


def folder_of(name: str) -> str:
    """The folder of a mutant."""
    return name.split(".")[1]


def draw(names: Sequence[str], per_folder: int, seed: int) -> list[str]:
    """Mutants drawn from each folder; others that come or go do not change who is drawn first."""

    def rank(name: str) -> bytes:
        return sha256(f"{seed} {name}".encode()).digest()

    return [
        name
        for folder in FOLDERS
        for name in sorted((n for n in names if folder_of(n) == folder), key=rank)[:per_folder]
    ]


def mutmut(*arguments: str) -> str:
    """What mutmut says, run where tests and their processes import the mutated package."""
    path = os.pathsep.join(str(folder) for folder in (MUTANTS, ROOT / "benchmarks"))
    done = run([str(Path(sys.executable).with_name("mutmut")), *arguments], {"PYTHONPATH": path})
    if done.returncode != 0:
        raise SystemExit(f"mutmut {arguments[0]}: {last_line(done)}")
    return done.stdout


def change(name: str) -> str:
    """The mutation in one line, after the function that it is in."""
    module, _, mangled = name.rpartition(".")
    function = re.sub(r"^x[_ǁ]|__mutmut_\d+$", "", mangled).replace("ǁ", ".")
    lines = mutmut("show", name).splitlines()
    removed, added = (
        " ".join(line[1:].strip() for line in lines if re.match(rf"[{sign}](?![{sign}])", line))
        for sign in "-+"
    )
    return f"{module}.{function}: {removed} → {added}"


def summary(names: Sequence[str], found: Mapping[str, str]) -> dict[str, Any]:
    """Counts of sampled mutants; one that runs into the limit of time is detected."""
    by = Counter(found[name] for name in names)
    detected, run = sum(by[state] for state in DETECTED), len(names) - by[NOT_RUN]
    return {"sampled": len(names), **by, "share_killed": round(detected / run, 3) if run else None}


def main() -> None:
    """Draw, run, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--per-folder", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="run survivors of the sample again")
    parser.add_argument("--count", action="store_true", help="run nothing, count what has run")
    arguments = parser.parse_args()
    if not MUTANTS.is_dir():
        mutmut("run", "--max-children", "1", FIRST)
    names = draw(list(outcomes()), arguments.per_folder, arguments.seed)
    states = [NOT_RUN, "survived", "no tests"] if arguments.again else [NOT_RUN]
    to_run = [name for name in names if outcomes()[name] in states]
    if to_run and not arguments.count:
        mutmut("run", "--max-children", "1", *to_run)

    found = outcomes()
    reasons = json.loads(REASONS.read_text(encoding="utf-8"))
    left = {change(name): found[name] for name in names if found[name] not in (*DETECTED, NOT_RUN)}
    sample = {
        "seed": arguments.seed,
        "all": summary(names, found),
        **{f: summary([n for n in names if folder_of(n) == f], found) for f in FOLDERS},
        "survivors": [
            {"mutant": text, "outcome": state, "looked at": reasons.get(text, "")}
            for text, state in left.items()
        ],
    }
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"samples": []}
    others = [old for old in kept["samples"] if old["seed"] != arguments.seed]
    results = {
        "mutants": Counter(folder_of(name) for name in found),
        "samples": sorted([*others, sample], key=lambda row: row["seed"]),
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({key: sample[key] for key in ("all", *FOLDERS)}, indent=1))


if __name__ == "__main__":
    main()
