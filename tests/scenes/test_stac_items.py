import json
import pickle

import numpy as np
import pytest
import rasterio

from rsmeta.errors import SceneError
from rsmeta.scenes import predict_scene, scene_sources

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(assets, name="S2A/one"):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": None, "links": [],
        "properties": {"datetime": "2024-01-01T00:00:00Z"}, "assets": assets,
    }  # fmt: skip


def asset(href, *bands, **more):
    named = {"eo:bands": [{"name": band} for band in bands]} if bands else {}
    return {"href": href, "type": TIFF, **named, **more}


@pytest.fixture
def write(tmp_path):
    def write(*items, name="items.json"):
        path = tmp_path / name
        collection = {"type": "FeatureCollection", "features": list(items)}
        path.write_text(json.dumps(items[0] if len(items) == 1 else collection))
        return path

    return write


def parts(path, wanted, bands=None):
    (source,) = scene_sources([path], bands)
    return [(part.path.rpartition("/")[2], part.bands) for part in source.parts(wanted)]


@pytest.mark.parametrize(
    ("assets", "expected"),
    [
        (
            {"B02": asset("2.tif"), "B04": asset("4.tif")},
            [("4.tif", ("B04",)), ("2.tif", ("B02",))],
        ),
        (
            {"blue": asset("2.tif", "B02"), "red": asset("4.tif", "B04")},
            [("4.tif", ("B04",)), ("2.tif", ("B02",))],
        ),
        (
            {"blue": asset("2.tif", "blue"), "red": asset("4.tif", bands=[{"name": "red"}])},
            [("4.tif", ("B04",)), ("2.tif", ("B02",))],
        ),
        (
            {
                "x": asset("2.tif", bands=[{"eo:common_name": "blue"}]),
                "y": asset("4.tif", **{"eo:bands": [{"name": "1", "common_name": "red"}]}),
            },
            [("4.tif", ("B04",)), ("2.tif", ("B02",))],
        ),
        ({"all": asset("s.tif", "B02", "B03", "B04")}, [("s.tif", ("B02", "B03", "B04"))]),
        (
            {
                "visual": asset("v.tif", "B04", "B03", "B02", roles=["visual"]),
                "B04": asset("4.tif", "B04"),
                "B04-jp2": {**asset("4.jp2", "B04"), "type": "image/jp2"},
                "stack": asset("s.tif", "B02", "B03"),
            },
            [("4.tif", ("B04",)), ("s.tif", ("B02", "B03"))],
        ),
    ],
)
def test_assets_are_chosen_by_band(write, assets, expected):
    assert parts(write(item(assets)), ("B04", "B02")) == expected


def test_polarisations_and_links_from_the_folder_of_the_file(write, tmp_path):
    both = asset("in/x.tif", **{"sar:polarizations": ["VV", "VH"]})
    remote = asset("s3://bucket/hh.tif")
    (source,) = scene_sources([write(item({"grd": both, "hh": remote}))])
    chosen = source.parts(("VH", "HH"))
    assert [part.path for part in chosen] == [str(tmp_path / "in/x.tif"), "s3://bucket/hh.tif"]
    assert chosen[0].bands == ("VV", "VH")
    assert pickle.loads(pickle.dumps(source)) == source


def test_the_asset_of_a_band_can_be_said(write):
    path = write(item({"nir": asset("8.tif", "nir"), "B04": asset("4.tif")}))
    assert parts(path, ("B08", "B04"), {"B08": "nir"}) == [
        ("8.tif", ("B08",)), ("4.tif", ("B04",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("assets", "bands", "message"),
    [
        ({"B04": asset("4.tif")}, None, r"S2A/one.*lacks an asset with band 'B02'; it has: B04"),
        ({}, None, "it has: none"),
        ({"B04": asset("4.tif")}, {"B02": "blue"}, "lacks asset 'blue'"),
        ({"a": asset("a.tif", "B02"), "b": asset("b.tif", "B02")}, None, "several assets: a, b"),
        ({"B02": asset("v.tif", roles=["thumbnail"])}, None, "lacks an asset"),
    ],
)
def test_items_without_the_band(write, assets, bands, message):
    (source,) = scene_sources([write(item(assets))], bands)
    with pytest.raises(SceneError, match=message) as caught:
        source.parts(("B02",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "of type None"),
        ('{"type": "Catalog"}', "of type Catalog"),
        ('{"type": "FeatureCollection", "features": []}', "holds no item"),
        ('{"type": "Feature", "id": "x"}', "no STAC item"),
    ],
)
def test_other_json_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(SceneError, match=rf"x\.json.*{message}") as caught:
        scene_sources([path])
    assert "\n" not in str(caught.value)
    with pytest.raises(SceneError, match="cannot be read"):
        scene_sources([tmp_path / "absent.json"])


def test_names_in_file_order_do_not_go_with_items(write):
    with pytest.raises(SceneError, match="an asset for each band"):
        scene_sources([write(item({}))], ("B02",))


def test_each_item_of_a_collection_is_a_scene(write, write_scene, noise, softmax, tmp_path):
    values = noise(40, 30, bands=2)
    write_scene(values[0], "a.tif")
    write_scene(values[1], "b.tif")
    assets = {"vv": asset("a.tif"), "vh": asset("./b.tif")}
    found = scene_sources([write(item(assets), item(assets, "two"))])
    assert [source.name for source in found] == ["S2A_one", "two"]
    model = softmax(("VV", "VH"))
    whole = predict_scene(write_scene(values), model, tmp_path / "out")
    with rasterio.open(whole.confidence) as expected:
        for source in found:
            done = predict_scene(source, model, tmp_path / "out")
            assert done.classes.name == f"{source.name}_classes.tif"
            with rasterio.open(done.confidence) as out:
                np.testing.assert_array_equal(out.read(), expected.read())
