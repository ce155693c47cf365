"""One case: its folders, what it may do, and how it ended."""

import os
import shutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuzzing.kinds import Place
from fuzzing.recipes import FIXTURES, Recipes
from fuzzing.runs import Runs
from fuzzing.scenes import Scenes
from rsmeta.class_names import unprintable
from rsmeta.errors import RsmetaError

KINDS = {"recipes": Recipes, "runs": Runs, "scenes": Scenes}

_LONGEST_MESSAGE = 20_000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_STARTING = frozenset({"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork"})
_CHANGING = {
    **dict.fromkeys(("os.mkdir", "os.truncate", "os.chmod"), (0,)),
    **dict.fromkeys(("os.symlink", "os.link"), (1,)),
    "os.rename": (0, 1),
}


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Attributes:
        kind: Kind of the case.
        number: Its number.
        name: `success: ...`, the name of an error class of rsmeta, or what was found.
        finding: What is wrong, with a traceback where there is one; None for a good case.
        seconds: Time taken.
    """

    kind: str
    number: int
    name: str
    finding: str | None = None
    seconds: float = 0.0


class Cases:
    """The cases of a kind in this process.

    Args:
        kind: Name of the kind.
        fixtures: Folder that `prepare` has filled.
        room: Folder for the cases, of which there is one at a time.
        seed: Of all cases.
    """

    def __init__(self, kind, fixtures, room, seed):
        os.environ[FIXTURES] = str(fixtures)
        self._kind, self._name, self._seed = KINDS[kind](), kind, seed
        self._stream = list(KINDS).index(kind)
        # `../..` of any of these folders is still in the room.
        self._room = room / "a" / "b"
        self._place = Place(fixtures, self._room / "c" / "in", self._room / "c" / "out")
        self._kind.warm_up(fixtures)
        self._guard = _Guard(self._place.out)
        sys.addaudithook(self._guard)
        self._top = room

    def run(self, number):
        """Run a case; returns its outcome, without the time."""
        shutil.rmtree(self._top, ignore_errors=True)
        for folder in (self._place.inputs, self._place.out):
            folder.mkdir(parents=True)
        os.chdir(self._room)
        rng = np.random.default_rng([self._seed, self._stream, number])
        damaged = self._kind.damage(rng, self._place)
        before = _listing(self._top, self._place.out)
        name, finding = self._use(damaged)
        changed = sorted(_listing(self._top, self._place.out) ^ before)
        wrong = self._guard.found + [f"made or removed '{Path(path).name}'" for path in changed]
        if finding is None and wrong:
            name, finding = "outside", "; ".join(wrong)
        return Outcome(self._name, number, name, finding)

    def _use(self, damaged):
        self._guard.found = []
        self._guard.on = True
        try:
            done = self._kind.use(damaged, self._place)
        except RsmetaError as error:
            return type(error).__name__, _wrong_message(str(error))
        except BaseException as error:  # noqa: BLE001 (that is what is looked for)
            return type(error).__name__, "".join(traceback.format_exception(error)[-12:])
        finally:
            self._guard.on = False
        return f"success: {done}", None


class _Guard:
    """Hears of files that Python code opens to write, and of processes that it starts."""

    def __init__(self, allowed):
        self.on = False
        self.found = []
        self._allowed = (f"{allowed}{os.sep}", str(allowed), os.devnull)

    def __call__(self, event, arguments):
        if not self.on:
            return
        if event in _STARTING:
            self.found.append(f"{event}{arguments[:1]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self._check(event, arguments[0])
        elif event in _CHANGING:
            for place in _CHANGING[event]:
                self._check(event, arguments[place])

    def _check(self, event, path):
        if isinstance(path, (str, bytes, os.PathLike)):
            full = os.path.realpath(os.fsdecode(path))
            if not full.startswith(self._allowed):
                self.found.append(f"{event} '{full}'")


def _listing(top, out):
    found = (f"{folder}{os.sep}{name}" for folder, folders, files in os.walk(top)
             for name in (*folders, *files))  # fmt: skip
    return {path for path in found if not path.startswith(str(out))}


def _wrong_message(text):
    lines = text.split("\n")
    if any(unprintable(line) for line in lines):
        return f"unprintable message: {text[:300]!r}"
    if not text.strip():
        return "empty message"
    long = len(text) > _LONGEST_MESSAGE
    return f"message of {len(text)} characters: {text[:200]!r}" if long else None
