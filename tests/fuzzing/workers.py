"""Cases in a process of their own, which may crash, hang or run out of memory."""

import faulthandler
import json
import multiprocessing
import os
import resource
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from fuzzing.cases import KINDS, Cases, Outcome

SECONDS = 20
"""That a case may take."""

MEMORY = 2 * 2**30
"""Bytes of addresses that a case may take beside what is loaded."""

_START_SECONDS = 300


def prepare(kinds, folder):
    """Write what the cases of some kinds are made from, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    for kind in kinds:
        child = context.Process(target=_prepare, args=(kind, folder / kind))
        child.start()
        child.join()
        assert child.exitcode == 0, f"the fixtures of '{kind}' cannot be made"


def _prepare(kind, fixtures):
    shutil.rmtree(fixtures, ignore_errors=True)
    fixtures.mkdir(parents=True)
    KINDS[kind]().prepare(fixtures)


def run_cases(kind, numbers, seed, folder):
    """Run cases of a kind in a worker, and in another one after each that ends its process.

    Args:
        kind: Name of the kind.
        numbers: Numbers of the cases.
        seed: Of all cases.
        folder: Where `prepare` has been.

    Yields:
        The outcome of each.
    """
    worker = None
    try:
        for number in numbers:
            if worker is None:
                worker = _Worker(kind, seed, folder)
            outcome = worker.run(number)
            if not worker.alive:
                worker.end()
                worker = None
            yield outcome
    finally:
        if worker is not None:
            worker.end()


class _Worker:
    def __init__(self, kind, seed, folder):
        context = multiprocessing.get_context("spawn")
        self._kind = kind
        self._log = folder / f"{kind}.log"
        self._pipe, theirs = context.Pipe()
        room = folder / "rooms" / kind
        self._process = context.Process(
            target=_serve, args=(theirs, kind, seed, folder / kind, room), daemon=True
        )
        self._process.start()
        theirs.close()
        self.alive = True
        assert self._pipe.poll(_START_SECONDS), "a worker does not start"
        self._pipe.recv()

    def run(self, number):
        started = time.perf_counter()
        self._pipe.send(number)
        outcome = self._answer(number)
        return replace(outcome, seconds=time.perf_counter() - started)

    def _answer(self, number):
        try:
            if self._pipe.poll(SECONDS):
                return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self.alive = False
            self._process.join()
            text = f"the process ended with {self._process.exitcode}"
            return Outcome(self._kind, number, "crash", f"{text}: {self._last_words()}")
        self.alive = False
        text = f"not done after {SECONDS} s: {self._last_words()}"
        return Outcome(self._kind, number, "hang", text)

    def _last_words(self):
        return self._log.read_text("utf-8", "replace")[-3000:]

    def end(self):
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe, kind, seed, fixtures, room):
    # What GDAL and torch say of a damaged file, and where a crash was, are not for the terminal.
    log = os.open(fixtures.parent / f"{kind}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable()
    cases = Cases(kind, fixtures, room, seed)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send("ready")
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        faulthandler.dump_traceback_later(SECONDS - 1)
        outcome = cases.run(number)
        faulthandler.cancel_dump_traceback_later()
        pipe.send(outcome)


class Tally:
    """Counts of outcomes by kind, and the findings."""

    def __init__(self):
        self.counts = {}
        self.findings = []
        self.slowest = {}

    def add(self, outcome):
        counter = self.counts.setdefault(outcome.kind, Counter())
        counter["finding" if outcome.finding else outcome.name] += 1
        slowest = self.slowest.get(outcome.kind, (0.0, 0))
        self.slowest[outcome.kind] = max(slowest, (round(outcome.seconds, 2), outcome.number))
        if outcome.finding:
            self.findings.append(outcome)

    def values(self, seed):
        """As plain values for JSON, by kind."""
        return {kind: self._kind(kind) | {"seed": seed} for kind in self.counts}

    def _kind(self, kind):
        own = [outcome for outcome in self.findings if outcome.kind == kind]
        return {
            "cases": self.counts[kind].total(),
            "outcomes": dict(self.counts[kind].most_common()),
            "slowest_seconds": self.slowest[kind][0],
            "findings": [
                {"case": f"{kind}:{o.number}", "what": o.name, "detail": o.finding} for o in own
            ],
        }


def write_results(path, kinds):
    """Write the results of some kinds as JSON; those of others stay in the file."""
    before = json.loads(path.read_text("utf-8"))["kinds"] if path.is_file() else {}
    found = before | kinds
    total = sum(kind["cases"] for kind in found.values())
    path.write_text(json.dumps({"cases": total, "kinds": found}, indent=2) + "\n", "utf-8")
