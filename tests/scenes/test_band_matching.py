import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from rsmeta.errors import SceneError
from rsmeta.scenes.opening import open_scene
from rsmeta.scenes.reader import match_bands
from rsmeta.scenes.source import RasterSource


@pytest.fixture
def match(write_scene):
    def match(wanted, *descriptions, colours=None):
        path = write_scene(np.zeros((len(descriptions), 4, 4), np.int16), descriptions=descriptions)
        if colours is not None:
            with rasterio.open(path, "r+") as dataset:
                dataset.colorinterp = [ColorInterp[colour] for colour in colours]
        with open_scene(RasterSource(str(path)), wanted) as scene:
            return match_bands(scene, wanted)

    return match


RGB = ("R", "G", "B")


def test_by_name_and_colour(match):
    assert match(("B04", "B02"), "", "B2", "B3", "B4") == (4, 2)
    assert match(("B12",), "B01, central wavelength 443 nm", "B12, central wavelength 2190 nm") == (
        2,
    )
    assert match(RGB, "blue", "green", "red", "nir") == (3, 2, 1)
    assert match(("VH",), "Sigma0_VV", "Sigma0_VH") == (2,)


def test_by_colour_interpretation(match):
    assert match(RGB, "", "", "", colours=("blue", "green", "red")) == (3, 2, 1)
    assert match(RGB, "", "", "", "", colours=("red", "green", "blue", "undefined")) == (1, 2, 3)
    assert match(RGB, "", "", "", "", colours=("red", "green", "blue", "alpha")) == (1, 2, 3)
    # Colours say nothing about bands that have none.
    wanted = ("B08", "B04", "B03")
    assert match(wanted, "", "", "", colours=("red", "green", "blue")) == (1, 2, 3)
    with pytest.raises(SceneError, match="coloured red, green and blue"):
        match(("B02", "B03", "B04"), "", "", "", colours=("red", "green", "blue"))


@pytest.mark.parametrize(
    ("wanted", "descriptions"),
    [
        (("VV",), ("VH",)),
        (("VV",), ("Gamma0_HH",)),
        (("VV", "VH"), ("HH", "HV")),
        (("B04",), ("B08",)),
        (("R", "G", "B", "N"), ("blue", "green", "red", "nir")),
    ],
)
def test_other_bands_are_never_taken_in_file_order(match, wanted, descriptions):
    with pytest.raises(SceneError, match=r"named by their descriptions or by --bands") as caught:
        match(wanted, *descriptions)
    assert "\n" not in str(caught.value)
    assert all(name in str(caught.value) for name in (*wanted, *descriptions))


def test_file_order_where_descriptions_say_nothing(match):
    assert match(("VV", "VH"), "bands", "bands") == (1, 2)
    assert match(("VV", "VH"), "VV", "") == (1, 2)
