"""A pytest plugin of `make mutation`: the shortest tests first, so that mutants die early."""

import json
from pathlib import Path

import pytest

STATISTICS = Path("mutmut-stats.json")  # mutmut runs pytest in its folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order tests by the seconds that mutmut has measured, if it has."""
    if STATISTICS.is_file():
        seconds = json.loads(STATISTICS.read_text(encoding="utf-8"))["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
