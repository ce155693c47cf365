"""How many chips came from how many labels, and what was left out and why."""

from collections import Counter
from collections.abc import Sequence

from rsmeta.data.chip_windows import Kind


class ChipTally:
    """Counts that are taken while labels become chips.

    Attributes:
        repaired: Features of invalid geometry that were repaired.
    """

    def __init__(self) -> None:
        self.repaired = 0
        self._features: dict[str, Counter[Kind]] = {}
        self._left_out: dict[str | None, Counter[str]] = {}

    def add_feature(self, name: str, kind: Kind) -> None:
        """Count a labelled feature of a class."""
        self._features.setdefault(name, Counter())[kind] += 1

    def leave_out(self, what: str, count: int, name: str | None = None) -> None:
        """Count what gives no chip, of a class or of none in particular."""
        if count:
            self._left_out.setdefault(name, Counter())[what] += int(count)

    def left_out(self, name: str | None) -> str:
        """What was left out of a class, e.g. `2 × chip over the edge of the scene`."""
        return _listed(self._left_out.get(name, Counter()))

    def origin(self, name: str) -> str:
        """The features of a class, e.g. `4 × polygon, 2 × point`."""
        return _listed(self._features.get(name, Counter()))

    def total_left_out(self) -> str:
        """What was left out of all classes together."""
        return _listed(sum(self._left_out.values(), Counter()))

    def lines(self, classes: Sequence[str], train: Sequence[int], test: Sequence[int]) -> list[str]:
        """A line for each class, then what no class has a part in.

        Args:
            classes: Class names.
            train: Training chips of each class.
            test: Test chips of each class.
        """
        lines = []
        for name, trained, tested in zip(classes, train, test, strict=True):
            line = f"{name}: {trained} training and {tested} test chips"
            line += f" from {origin}" if (origin := self.origin(name)) else ""
            line += f"; left out: {left_out}" if (left_out := self.left_out(name)) else ""
            lines.append(line)
        if left_out := self.left_out(None):
            lines.append(f"left out: {left_out}")
        if self.repaired:
            lines.append(f"repaired: {self.repaired} × feature of invalid geometry")
        return lines


def _listed(counts: Counter[str] | Counter[Kind]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in sorted(counts.items()))
