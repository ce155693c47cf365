import pytest

from rsmeta.band_names import contradicts, find_bands, known_band


@pytest.mark.parametrize(
    ("description", "band"),
    [
        ("VV", "vv"),
        ("Gamma0_VV", "vv"),
        ("Sigma0_vh_db", "vh"),
        ("B04, central wavelength 665 nm", "b4"),
        ("B8A", "b8a"),
        ("Red", "red"),
        ("band 1 reflectance", None),
        ("Red edge 1", None),
        ("VV/VH ratio", None),
        ("incidence angle", None),
        ("", None),
    ],
)
def test_band_that_a_description_names(description, band):
    assert known_band(description) == band


@pytest.mark.parametrize(
    ("described", "wanted", "positions"),
    [
        (["VH", "vv"], ["VV", "VH"], (1, 0)),
        (["B2", "B3", "B8A"], ["B8A", "B02"], (2, 0)),
        (["B01", "B02", "B03", "B04"], ["R", "G", "B"], (3, 2, 1)),
        (["blue", "green", "red"], ["B04", "B03"], (2, 1)),
        (["R", "red"], ["R"], (0,)),
        (["B2"], ["blue"], None),  # blue for Sentinel-2, green for Landsat 5
        (["", "", ""], ["R", "G", "B"], None),
        (["bands", "bands"], ["bands"], None),
        (["red", "nir"], ["R", "G"], None),
    ],
)
def test_bands_are_found_by_name_then_by_colour(described, wanted, positions):
    assert find_bands(described, wanted) == positions


@pytest.mark.parametrize(
    ("described", "wanted", "wrong"),
    [
        (["VH"], ["VV"], True),
        (["Gamma0_VV"], ["VH"], True),
        (["HH", "HV"], ["VV", "VH"], True),
        (["blue"], ["R"], True),
        (["b", "a"], ["a", "b"], True),
        (["Gamma0_VV"], ["VV"], False),
        (["red"], ["B04"], False),
        (["bands", ""], ["VV", "VH"], False),
        (["band 1 reflectance"], ["B1"], False),
    ],
)
def test_descriptions_that_prove_file_order_wrong(described, wanted, wrong):
    assert contradicts(described, wanted) is wrong
