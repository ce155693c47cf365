import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rsmeta
from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulated import load_simulated
from rsmeta.data.simulator import CLASSES, Radar, long_tailed_counts, render, simulate_chips
from rsmeta.data.simulator.ground import Ground
from rsmeta.data.simulator.materials import Material
from rsmeta.recipe import SimulatorData

SENSORS = list(SimulatedSensor)
ONE_EACH = [1] * len(CLASSES)
OPTICAL, MULTISPECTRAL, SAR = SENSORS


def digest(seed, sensor):
    return hashlib.sha256(simulate_chips(ONE_EACH, 32, sensor, seed).images.tobytes()).hexdigest()


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_seed_gives_the_same_bytes_twice_and_another_seed_others(sensor):
    assert digest(3, sensor) == digest(3, sensor)
    assert digest(3, sensor) != digest(4, sensor)


def test_the_bytes_do_not_depend_on_the_process():
    code = (
        "import sys, hashlib; from rsmeta.bands import SimulatedSensor as S;"
        "from rsmeta.data.simulator import CLASSES, simulate_chips;"
        "[print(hashlib.sha256(simulate_chips([1] * len(CLASSES), 32, s, 3).images.tobytes())"
        ".hexdigest()) for s in S]"
    )
    search = os.pathsep.join([str(Path(rsmeta.__file__).parents[1]), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": search}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [digest(3, sensor) for sensor in SENSORS]


def test_a_chip_does_not_depend_on_how_many_others_are_asked_for():
    few = simulate_chips([1, 0, 1], 32, SAR, 5)
    many = simulate_chips([3, 2, 2], 32, SAR, 5)
    np.testing.assert_array_equal(few.images, many.images[[0, 5]])


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("size", [16, 96])
def test_chips_have_the_bands_size_and_labels_asked_for(sensor, size):
    chips = simulate_chips([2, 0, 1], size, sensor, 0)
    assert chips.images.shape == (3, len(sensor.bands), size, size)
    assert chips.images.dtype == np.float32
    assert chips.labels.tolist() == [0, 0, 2]


def test_no_chips_keep_the_shape():
    assert simulate_chips([0, 0], 16, SAR, 0).images.shape == (0, 2, 16, 16)


@pytest.mark.parametrize("seed", range(3))
def test_values_lie_in_the_range_of_their_unit(seed):
    optical, reflectance, decibel = (
        simulate_chips(ONE_EACH, 96, sensor, seed).images for sensor in SENSORS
    )
    assert optical.min() >= 0
    assert optical.max() <= 255
    np.testing.assert_array_equal(optical, np.rint(optical))
    assert optical.max() > 60  # stretched, not all dark
    assert reflectance.min() >= 0
    assert 0.3 < reflectance.max() <= 1
    assert np.isfinite(decibel).all()
    assert -65 < decibel.min() < -20
    assert 0 < decibel.max() < 40


def test_sar_stays_finite_with_less_than_one_look():
    chips = simulate_chips(ONE_EACH, 64, SAR, 0, radar=Radar(looks=0.05)).images
    assert np.isfinite(chips).all()


@pytest.mark.parametrize(("largest", "imbalance"), [(200, 50), (30, 10), (10, 1), (5, 100)])
def test_counts_fall_exponentially_from_largest_to_smallest(largest, imbalance):
    counts = long_tailed_counts(largest, imbalance)
    assert len(counts) == len(CLASSES)
    assert counts[0] == largest
    assert counts[-1] == max(1, round(largest / imbalance))
    assert counts == sorted(counts, reverse=True)
    middle = max(1, largest / imbalance**0.5)  # the geometric mean of both ends
    assert counts[len(CLASSES) // 2] == pytest.approx(middle, abs=1)


def test_simulated_data_are_long_tailed_in_training_and_even_in_the_test():
    config = SimulatorData(largest_class=8, imbalance=8, test_per_class=2, crop=16)
    data = load_simulated(config, seed=0)
    assert data.train_counts.tolist() == long_tailed_counts(8, 8)
    assert np.bincount(data.test.labels).tolist() == [2] * len(CLASSES)
    assert data.classes == CLASSES
    assert data.bands == SAR.bands
    assert data.tile_size == 16


def test_no_test_chip_is_a_training_chip():
    config = SimulatorData(largest_class=4, imbalance=1, test_per_class=4, crop=16)
    data = load_simulated(config, seed=0)
    train = {data.train.read(i).tobytes() for i in range(len(data.train))}
    test = {data.test.read(i).tobytes() for i in range(len(data.test))}
    assert len(train) == 4 * len(CLASSES)
    assert len(test) == 4 * len(CLASSES)
    assert len(train & test) == 0


@pytest.mark.parametrize("looks", [1.0, 3.0, 8.0])
def test_speckle_over_open_water_has_the_variance_of_its_looks(looks):
    water = Ground.of(np.full((160, 160), Material.WATER, dtype=np.uint8))
    decibel = render(water, SAR, np.random.default_rng(0), Radar(looks))
    power = 10 ** (decibel.astype(np.float64) / 10)
    spread = power.var(axis=(1, 2)) / power.mean(axis=(1, 2)) ** 2
    # A little more than 1 / looks: the water's own clutter comes on top.
    np.testing.assert_allclose(spread, 1 / looks, rtol=0.2)


@pytest.mark.parametrize(("band", "level"), [(0, -19.0), (1, -27.0)])
def test_open_water_has_its_backscatter(band, level):
    water = Ground.of(np.full((128, 128), Material.WATER, dtype=np.uint8))
    means = [
        np.mean(10 ** (render(water, SAR, np.random.default_rng(seed))[band] / 10))
        for seed in range(8)
    ]
    assert 10 * np.log10(np.mean(means)) == pytest.approx(level, abs=2)


@pytest.fixture
def tower():
    """A tower of 20 m, 8 pixels wide, in the middle of flat grass."""
    ground = Ground.of(np.full((64, 64), Material.GRASS, dtype=np.uint8))
    ground.material[28:36, 28:36] = Material.GREY_ROOF
    ground.elevation[28:36, 28:36] = 20
    return ground


def test_sar_shadow_falls_behind_a_tower_and_its_near_wall_is_bright(tower):
    seen = render(tower, SAR, np.random.default_rng(0), Radar(looks=100))
    flat = Ground.of(np.where(tower.elevation > 0, Material.GREY_ROOF, Material.GRASS).astype("u1"))
    plain = render(flat, SAR, np.random.default_rng(0), Radar(looks=100))
    change = (seen - plain).mean(axis=0)
    rows = slice(29, 35)
    length = int(20 / (2 / np.tan(np.deg2rad(38.0))))  # metres over the fall in a pixel
    assert change[rows, 36 : 36 + length].max() < -3  # shadow on the +x side
    assert change[rows, 27].min() > 5  # double bounce where ground meets the wall
    for side in (change[rows, :26], change[rows, 36 + length + 2 :], change[:26], change[38:]):
        assert np.abs(side).max() < 0.01  # and nothing anywhere else


def test_radar_shadow_is_no_brighter_than_the_noise_floor(tower):
    seen = render(tower, SAR, np.random.default_rng(0), Radar(looks=100))
    assert seen[:, 30:34, 37:42].mean() == pytest.approx(-30, abs=0.5)


def test_a_low_step_casts_no_double_bounce(tower):
    tower.elevation[tower.elevation > 0] = 1
    seen = render(tower, SAR, np.random.default_rng(0), Radar(looks=100))
    assert seen[0, 30:34, 27].mean() == pytest.approx(seen[0, 30:34, 10:26].mean(), abs=2)


def test_optical_shadow_falls_to_the_upper_right(tower):
    seen = render(tower, MULTISPECTRAL, np.random.default_rng(0))[7]
    shadow, opposite = seen[23:27, 37:40], seen[37:41, 24:27]
    assert shadow.mean() < 0.6 * opposite.mean()


def test_nothing_falls_in_shadow_at_the_far_edge_of_a_flat_scene():
    flat = Ground.of(np.full((32, 32), Material.CONCRETE, dtype=np.uint8))
    seen = render(flat, SAR, np.random.default_rng(0), Radar(looks=200))[0]
    assert seen[:, -1].mean() == pytest.approx(seen[:, 0].mean(), abs=1)


def test_vegetation_is_bright_in_the_near_infrared_and_water_dark():
    halves = np.full((64, 64), Material.WATER, dtype=np.uint8)
    halves[:, 32:] = Material.CROP
    seen = render(Ground.of(halves), MULTISPECTRAL, np.random.default_rng(0))
    names = [band.name for band in MULTISPECTRAL.bands]
    near, red = seen[names.index("B08")], seen[names.index("B04")]
    index = (near - red) / (near + red)
    assert index[:, 34:].mean() > 0.6
    assert index[:, :30].mean() < 0
    optical = render(Ground.of(halves), OPTICAL, np.random.default_rng(0))
    assert optical[1, :, 34:].mean() > optical[0, :, 34:].mean()  # green above red
