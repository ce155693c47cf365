"""The errors a user can cause, each with a message of one line that says how to mend it."""

import re
from pathlib import PurePath

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class RsmetaError(Exception):
    """Base of every error that `rsmeta` raises on purpose.

    The message is one line: the value, what is allowed, and what to do. The command prints it
    without a traceback and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        # Names from files could otherwise steer the terminal.
        super().__init__(_CONTROL.sub(lambda found: ascii(found[0])[1:-1], message))

    @classmethod
    def documentation(cls) -> str:
        """Where the documentation tells of errors of this class."""
        return f"docs/troubleshooting.md#{cls.__name__.lower()}"


class RecipeError(RsmetaError):
    """A recipe cannot be read or fails validation; one problem a line."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type["RecipeError"], tuple[list[str]]]:
        """Processes pass errors on in pieces: by default the message would come as the list."""
        return type(self), (self.problems,)


class BandError(RsmetaError):
    """A sensor or band name is unknown, or bands do not fit each other."""


class DataError(RsmetaError):
    """Chips or labels are missing, unreadable or inconsistent."""


class BackboneError(RsmetaError):
    """A backbone is unknown, cannot be obtained, or does not fit its weights."""


class RunError(RsmetaError):
    """A run folder is missing, incomplete, or does not fit what is asked of it."""

    @classmethod
    def damaged(cls, path: PurePath, reason: object) -> "RunError":
        """A file of a finished run does not hold what was written."""
        line = " ".join(str(reason).split())
        return cls(f"run file '{path}' is damaged: {line}; make the run again: rsmeta finetune")


class TrainingError(RsmetaError):
    """Training cannot go on."""


class PruningError(RsmetaError):
    """Sites cannot be pruned as asked."""


class StudyError(RsmetaError):
    """A study cannot be run, or its results cannot be read or written."""


class SceneError(RsmetaError):
    """A scene cannot be read, or does not fit the run that is to classify it."""


class EngineError(SceneError):
    """What classifies scenes broke down or cannot be set up, through no fault of a scene."""


class TargetError(RsmetaError):
    """What is to be inspected is neither a recipe, a run nor a scene."""


class ExportError(RsmetaError):
    """A run cannot be exported to a format, or not to where it is wanted."""
