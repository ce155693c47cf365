"""What kinds of cases have in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Place:
    """The folders of a case.

    Attributes:
        fixtures: What cases are made from; never written to.
        inputs: Where the case puts its own damaged copies.
        out: The only folder that the library may write to.
    """

    fixtures: Path
    inputs: Path
    out: Path


class Kind(Protocol):
    """A kind of cases."""

    def prepare(self, fixtures):
        """Write what cases are made from to a folder, once."""

    def warm_up(self, fixtures):
        """Import and read what all cases need, once a process."""

    def damage(self, rng, place):
        """Write the damaged input of a case; returns what `use` needs."""

    def use(self, damaged, place):
        """Use it as the commands do; the library alone raises here. Returns a word, or None."""
