import pytest
import torch
from torch.nn import functional as F

from rsmeta.bands import Band, Unit, sensor
from rsmeta.models.spectral import adapt_kernel, mixing_matrix

RGB = sensor("rgb").bands
S2 = sensor("sentinel2-l2a").bands
WEIGHT = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def kernel(target, source=RGB, weight=WEIGHT):
    return adapt_kernel(weight, mixing_matrix(source, target))


def grey_tokens(image):
    """Tokens of a one-band image that the RGB kernel sees as grey."""
    return F.conv2d(image.expand(-1, 3, -1, -1), WEIGHT, stride=4)


def tokens(target, image):
    return F.conv2d(image.expand(-1, len(target), -1, -1), kernel(target), stride=4)


@pytest.fixture
def image():
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["rgb", "sentinel2-l2a", "sentinel2-l1c", "sentinel1"])
def test_the_bands_of_pretraining_keep_their_kernel_bit_for_bit(name):
    bands = sensor(name).bands
    weight = torch.randn(5, len(bands), 4, 4)
    assert torch.equal(kernel(bands, bands, weight), weight)


@pytest.mark.parametrize("order", ["BGR", "GRB", "RBG"])
def test_a_permutation_of_rgb_permutes_the_kernel_bit_for_bit(order):
    found = kernel(sensor("rgb").select(list(order)))
    assert torch.equal(found, WEIGHT[:, ["RGB".index(name) for name in order]])


def test_bands_of_one_colour_copy_it_whatever_their_name():
    found = kernel(sensor("sentinel2-l2a").select(["B04", "B03", "B02"]))
    assert torch.equal(found, WEIGHT)


@pytest.mark.parametrize("polarisation", ["VV", "HH"])
def test_one_radar_band_reads_the_sum_of_the_kernels(polarisation):
    found = kernel(sensor("sar").select([polarisation]))
    torch.testing.assert_close(found, WEIGHT.sum(dim=1, keepdim=True))


@pytest.mark.parametrize("names", [["VV"], ["VV", "VH"], ["HH", "HV", "VV", "VH"]])
def test_equal_radar_bands_give_the_tokens_of_a_grey_image(image, names):
    target = sensor("sar").select(names)
    torch.testing.assert_close(tokens(target, image), grey_tokens(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "names", [["B04", "B03", "B02"], ["B08"], ["B04", "B08"], None], ids=lambda n: str(n)
)
def test_equal_optical_bands_sum_to_as_much_weight_as_rgb(names):
    matrix = mixing_matrix(RGB, sensor("sentinel2-l2a").select(names))
    assert matrix.sum().item() == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize(
    ("wavelength", "shares"),
    [
        (400, [0, 0, 1]),
        (2200, [1, 0, 0]),
        (525, [0, 0.5, 0.5]),
        (612.5, [0.5, 0.5, 0]),
        (586.25, [0.25, 0.75, 0]),
        (560, [0, 1, 0]),
    ],
)
def test_another_optical_band_interpolates_between_its_neighbours(wavelength, shares):
    band = Band("X", Unit.REFLECTANCE, wavelength=wavelength)
    row = mixing_matrix(RGB, [band])[0] / 3
    torch.testing.assert_close(row, torch.tensor(shares, dtype=torch.float32))


def test_the_order_of_the_source_does_not_matter():
    turned = sensor("rgb").select(["B", "R", "G"])
    expected = kernel(S2)
    found = kernel(S2, turned, WEIGHT[:, [2, 0, 1]])
    torch.testing.assert_close(found, expected)


def test_radar_pretraining_is_read_by_optical_bands_as_grey():
    weight = torch.randn(5, 2, 4, 4)
    found = kernel(RGB, sensor("sentinel1").select(["VV", "VH"]), weight)
    expected = weight.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1) * 2 / 3
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["sentinel2-l2a", "sentinel2-l1c"])
def test_twelve_and_thirteen_bands_are_finite_and_of_the_magnitude_of_rgb(name):
    bands = sensor(name).bands
    found = kernel(bands)
    assert found.shape == (5, len(bands), 4, 4)
    assert torch.isfinite(found).all()
    assert found.abs().sum() < 2 * WEIGHT.abs().sum()


def test_half_precision_kernels_stay_half():
    assert kernel(S2, weight=WEIGHT.half()).dtype == torch.float16


def test_a_name_alone_does_not_make_the_same_band():
    """B3 is red on Landsat 5 and green on Landsat 8."""
    mixing = mixing_matrix(sensor("landsat5").bands, sensor("landsat8").select(["B3", "B4"]))
    names = [band.name for band in sensor("landsat5").bands]
    assert [names[row.argmax()] for row in mixing] == ["B2", "B3"]
