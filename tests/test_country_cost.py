"""The cost of a country is that of its reads, forward passes and writes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
try:
    from country_cost import Country, Rates, cost
finally:
    sys.path.pop(0)


def test_a_country_costs_what_its_parts_cost():
    country = Country(scenes=2, side=100, bands=3, tile=30, gigabytes=500)
    rates = Rates(reading=0.06, writing=0.036, forward=7.2, bytes_written=5e7)
    found = cost(country, rates, gpu_tiles_per_second=0.01)
    assert country.tiles == 2 * 4 * 4
    assert found.gpu_hours == pytest.approx(32 / 0.01 / 3600)
    assert found.cpu_hours == pytest.approx(32 * 7.2 / 3600)
    assert found.reading_hours == pytest.approx(1.0)
    assert found.writing_hours == pytest.approx(0.2)
    assert found.cores_per_gpu == pytest.approx(1.2 / found.gpu_hours)
    assert (found.terabytes_read, found.terabytes_written) == pytest.approx((1.0, 1.0))
