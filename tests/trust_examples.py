"""How many examples the properties in tests/trust run, and the tally of what came of them."""

import json
from collections import Counter
from pathlib import Path

from filelock import FileLock
from hypothesis import HealthCheck, settings

_STEADY = settings.get_profile("steady").max_examples


def examples(count):
    """Settings of a property.

    Args:
        count: Examples in the profile `steady`; in others as many times more as their limit is
            above that of `steady`.
    """
    return settings(
        max_examples=max(1, count * settings.default.max_examples // _STEADY),
        # Recipes have many sections, and scenes many pixels.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


class Tally:
    """Counts the examples of each property by what came of them."""

    def __init__(self):
        self._counts = Counter()

    def add(self, what, outcome):
        """Count one example of a property."""
        self._counts[what, outcome] += 1

    def add_to(self, path: Path):
        """Add the counts to those in a JSON file, which several processes may do."""
        with FileLock(f"{path}.lock"):
            found = json.loads(path.read_text()) if path.is_file() else {}
            for (what, outcome), count in self._counts.items():
                outcomes = found.setdefault(what, {})
                outcomes[outcome] = outcomes.get(outcome, 0) + count
            path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
