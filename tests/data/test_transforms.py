import numpy as np
import pytest

from rsmeta.data.transforms import build_geometry

BANDS = (1, 2, 3, 12, 13)


def chip(bands, height=5, width=5):
    values = np.random.default_rng(bands).normal(size=(bands, height, width)) * 100
    return values.astype(np.float32)


def symmetries(values, turns):
    """All the turned images of a chip, and their mirror images."""
    turned = [np.rot90(values, k, axes=(1, 2)) for k in turns]
    return [image.tobytes() for base in turned for image in (base, base[:, :, ::-1])]


def outcomes(name, values, seeds=range(80)):
    geometry = build_geometry(name)
    return [geometry(values, seed).tobytes() for seed in seeds]


@pytest.mark.parametrize("bands", BANDS)
def test_d4_gives_all_eight_symmetries_with_all_bands_alike(bands):
    values = chip(bands)
    assert set(outcomes("d4", values)) == set(symmetries(values, range(4)))


@pytest.mark.parametrize("bands", BANDS)
def test_flips_give_no_more_than_both_mirrors_and_the_half_turn(bands):
    values = chip(bands)
    assert set(outcomes("flips", values)) <= set(symmetries(values, (0, 2)))


def test_flips_are_independent_of_each_other():
    values = chip(2)
    assert set(outcomes("flips", values)) == set(symmetries(values, (0, 2)))


@pytest.mark.parametrize(("name", "cases"), [("flips", 4), ("d4", 8)])
def test_every_outcome_is_equally_likely(name, cases):
    seen = outcomes(name, chip(1), range(100 * cases))
    counts = [seen.count(outcome) for outcome in set(seen)]
    assert len(counts) == cases
    assert min(counts) > 60
    assert max(counts) < 140


@pytest.mark.parametrize("name", ["none", "flips", "d4"])
def test_the_outcome_depends_on_the_seed_and_not_on_earlier_calls(name):
    values = chip(3)
    forward, fresh = outcomes(name, values), build_geometry(name)
    backward = [fresh(values, seed).tobytes() for seed in reversed(range(80))][::-1]
    assert forward == backward


def test_numpys_global_state_has_no_say():
    values, geometry = chip(3), build_geometry("d4")
    results = []
    for state in (0, 1):
        np.random.seed(state)  # noqa: NPY002
        results.append(geometry(values, 5).tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["none", "flips", "d4"])
def test_values_and_type_are_kept_and_the_input_too(name):
    values = chip(2)
    values[:, 0, 0] = np.nan
    before = values.copy()
    for seed in range(8):
        changed = build_geometry(name)(values, seed)
        assert changed.dtype == np.float32
        assert changed.flags.c_contiguous
        np.testing.assert_array_equal(np.sort(changed.ravel()), np.sort(values.ravel()))
    np.testing.assert_array_equal(values, before)


def test_none_changes_nothing():
    values = chip(2)
    np.testing.assert_array_equal(build_geometry("none")(values, 3), values)


def test_chips_that_are_not_square_may_be_turned():
    shapes = {build_geometry("d4")(chip(2, 4, 7), seed).shape for seed in range(40)}
    assert shapes == {(2, 4, 7), (2, 7, 4)}
