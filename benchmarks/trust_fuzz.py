"""Fuzz recipes, run folders and GeoTIFF headers; every case ends well or as an error of rsmeta.

    python benchmarks/trust_fuzz.py --cases 20200 --out fuzz.json
    python benchmarks/trust_fuzz.py --only scenes:1234

What is damaged, and how, is in `tests/fuzzing`. A case is its seed, kind and number. Each kind's
cases run in a worker process of limited memory; a case that crashes or hangs it is a finding, as
is every exception that is not of `rsmeta.errors`, and every file written outside the folder of
results. Ends with exit status 1 where there is a finding.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzzing.cases import KINDS
from fuzzing.workers import Tally, prepare, run_cases, write_results

SHARES = {"scenes": 0.3, "runs": 0.1, "recipes": 0.6}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--first", type=int, default=0, help="Number of the first case.")
    parser.add_argument("--only", metavar="KIND:NUMBER", help="One case; its end is printed.")
    parser.add_argument("--out", type=Path, help="JSON file to write; other kinds in it stay.")
    arguments = parser.parse_args()
    kinds = list(SHARES) if arguments.kind == "all" else [arguments.kind]
    numbers = {
        kind: range(
            arguments.first,
            arguments.first + round(arguments.cases * (SHARES[kind] if len(kinds) > 1 else 1)),
        )
        for kind in kinds
    }
    if arguments.only:
        kind, _, number = arguments.only.partition(":")
        numbers = {kind: range(int(number), int(number) + 1)}
    # The workers of these cases are quick on one core each.
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    started = time.perf_counter()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        prepare(numbers, Path(folder))
        for kind, chosen in numbers.items():
            for outcome in run_cases(kind, chosen, arguments.seed, Path(folder)):
                tally.add(outcome)
                if outcome.finding or arguments.only:
                    print(f"{kind}:{outcome.number} {outcome.name}", outcome.finding or "")
        minutes = (time.perf_counter() - started) / 60
    print(f"{minutes:.1f} minutes")
    results = tally.values(arguments.seed)
    for kind, values in results.items():
        print(kind, values["cases"], values["outcomes"])
    if arguments.out is not None:
        write_results(arguments.out, results)
    sys.exit(1 if tally.findings else 0)


if __name__ == "__main__":
    main()
