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


def outcomes(name, values, seeds=range(80), crop_scale=None):
    geometry = build_geometry(name, crop_scale)
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


@pytest.mark.parametrize("bands", BANDS)
def test_quarter_turns_give_all_four(bands):
    values = chip(bands)
    turned = {np.rot90(values, k, axes=(1, 2)).tobytes() for k in range(4)}
    assert set(outcomes("quarter_turns", values)) == turned


@pytest.mark.parametrize(("name", "cases"), [("flips", 4), ("quarter_turns", 4), ("d4", 8)])
def test_every_outcome_is_equally_likely(name, cases):
    seen = outcomes(name, chip(1), range(100 * cases))
    counts = [seen.count(outcome) for outcome in set(seen)]
    assert len(counts) == cases
    assert min(counts) > 60
    assert max(counts) < 140


@pytest.mark.parametrize("name", ["none", "flips", "quarter_turns", "d4"])
def test_the_outcome_depends_on_the_seed_and_not_on_earlier_calls(name):
    values = chip(3)
    for crop_scale in (None, (0.3, 0.9)):
        forward = outcomes(name, values, crop_scale=crop_scale)
        fresh = build_geometry(name, crop_scale)
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


# --- crops ----------------------------------------------------------------------------------------

LINE = np.arange(200 * 100, dtype=np.float32).reshape(1, 200, 100)  # each pixel its number


def crops(values, crop_scale, seeds=range(400), name="none"):
    geometry = build_geometry(name, crop_scale)
    return [geometry(values, seed) for seed in seeds]


@pytest.mark.parametrize("crop_scale", [(0.6, 1.0), (0.25, 0.25), (0.01, 0.5)])
def test_crops_are_parts_of_the_chip_with_its_proportions_and_the_area_asked_for(crop_scale):
    for crop in crops(LINE, crop_scale, range(100)):
        _, height, width = crop.shape
        top, left = divmod(int(crop[0, 0, 0]), 100)
        np.testing.assert_array_equal(crop, LINE[:, top : top + height, left : left + width])
        assert height == pytest.approx(2 * width, abs=1.5)
        least, largest = crop_scale
        assert least * 0.9 - 0.002 <= height * width / LINE.size <= largest * 1.1


def test_areas_and_places_of_crops_are_uniform():
    from scipy.stats import kstest

    drawn = crops(LINE, (0.2, 0.8))
    assert kstest([c.size / LINE.size for c in drawn], "uniform", args=(0.2, 0.6)).pvalue > 1e-3
    free = [(200 - c.shape[1], int(c[0, 0, 0]) // 100) for c in drawn]
    assert kstest([top / room for room, top in free], "uniform").pvalue > 1e-3
    assert any(top == room for room, top in free)


def test_a_crop_of_all_is_the_chip():
    values = chip(13)
    assert all(np.array_equal(crop, values) for crop in crops(values, (1.0, 1.0), range(5)))


@pytest.mark.parametrize("bands", BANDS)
def test_pixels_without_data_move_along_and_mix_with_no_other(bands):
    values = np.tile(LINE[:, :40, :40], (bands, 1, 1))
    values[:, 10:20, 5:30] = np.nan
    known = set(values[np.isfinite(values)].tolist())
    for crop in crops(values, (0.3, 0.9), range(20), "d4"):
        assert set(crop[np.isfinite(crop)].tolist()) <= known
        assert (np.isnan(crop) == np.isnan(crop[:1])).all()


def test_a_crop_leaves_a_chip_of_one_pixel():
    assert crops(chip(2, 1, 1), (0.01, 0.01), [0])[0].shape == (2, 1, 1)
