"""Products opened by plain GDAL, in a process that has never heard of rsmeta."""

import json
from xml.etree import ElementTree

from rsmeta.palette import class_colours
from rsmeta.scenes import Product, ProductOptions, predict_scene

NAMES = ("open water", "forêt", '<b>&"quoted"</b>')

# The rasters and vectors of a folder as GDAL and OGR tell them, by file name.
READER = """
import json, sys
from pathlib import Path
import pyogrio
import rasterio

found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    if path.suffix == ".tif":
        with rasterio.open(path) as dataset:
            values = dataset.read(masked=True)
            found[path.name] = {
                "crs": dataset.crs.to_string(),
                "nodata": str(dataset.nodata),
                "bands": dataset.descriptions,
                "type": dataset.dtypes[0],
                "layout": dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT"),
                "colours": dataset.colormap(1) if dataset.colorinterp[0].name == "palette" else {},
                "names": dataset.tags().get("CLASS_NAMES"),
                "masked": int(values.mask.sum()),
                "values": [float(values.min()), float(values.max())],
            }
    elif path.suffix == ".gpkg":
        layers = dict(pyogrio.list_layers(path))
        info = pyogrio.read_info(path, layer="classes")
        styles = pyogrio.read_dataframe(path, layer="layer_styles")
        frame = pyogrio.read_dataframe(path, layer="classes")
        found[path.name] = {
            "layers": sorted(layers),
            "crs": info["crs"],
            "geometry": info["geometry_type"],
            "fields": list(info["fields"]),
            "classes": dict(zip(map(str, frame["class_id"]), frame["class"])),
            "valid": bool(frame.geometry.is_valid.all()),
            "styles": json.loads(styles.to_json(orient="records", date_format="iso")),
        }
    elif path.suffix == ".geojson":
        info, frame = pyogrio.read_info(path), pyogrio.read_dataframe(path)
        found[path.name] = {
            "crs": info["crs"],
            "fields": list(info["fields"]),
            "classes": dict(zip(map(str, frame["class_id"]), frame["class"])),
        }
    elif path.suffix == ".png":
        with rasterio.open(path) as dataset:
            found[path.name] = {"bands": dataset.count, "shape": dataset.shape}
assert not [name for name in sys.modules if name.split(".")[0] == "rsmeta"]
print(json.dumps(found))
"""


def test_every_product_opens_with_names_colours_place_and_nodata(
    write_scene, noise, softmax, tmp_path, rsmeta_python
):
    values = noise(61, 45)
    values[:, :8, :8] = float("nan")
    out = tmp_path / "out"
    predict_scene(
        write_scene(values), softmax(classes=NAMES), out,
        products=ProductOptions(frozenset(Product)), stride=8,
    )  # fmt: skip
    found = json.loads(rsmeta_python(READER, out))
    classes = found["scene_classes.tif"]
    assert (classes["crs"], classes["type"], classes["nodata"]) == ("EPSG:32631", "uint8", "255.0")
    assert json.loads(classes["names"]) == list(NAMES)
    assert [tuple(classes["colours"][str(i)][:3]) for i in range(3)] == class_colours(3)
    assert classes["colours"]["255"][3] == 0
    assert classes["values"][1] <= 2
    category = ElementTree.parse(out / "scene_classes.tif.aux.xml").iter("Category")
    assert tuple(element.text for element in category) == NAMES
    confidence = found["scene_confidence.tif"]
    assert (confidence["type"], confidence["nodata"]) == ("float32", "nan")
    assert 1 / 3 <= confidence["values"][0] <= confidence["values"][1] <= 1
    assert found["scene_probabilities.tif"]["bands"] == list(NAMES)
    for name in ("classes", "confidence", "probabilities"):
        raster = found[f"scene_{name}.tif"]
        assert raster["crs"] == "EPSG:32631"
        assert raster["layout"] == "COG"
        assert raster["masked"] == 64 * len(raster["bands"])
    assert found["scene_quicklook.png"]["bands"] in (3, 4)
    package = found["scene_polygons.gpkg"]
    assert package["layers"] == ["classes", "layer_styles"]
    assert (package["crs"], package["geometry"]) == ("EPSG:32631", "Polygon")
    assert package["fields"] == ["class_id", "class", "confidence", "area_m2"]
    assert package["classes"] == {str(value): name for value, name in enumerate(NAMES)}
    assert package["valid"]
    geojson = found["scene_polygons.geojson"]
    assert geojson["crs"] == "EPSG:4326"
    assert geojson["classes"] == package["classes"]
    (style,) = package["styles"]
    assert (style["f_table_name"], style["useAsDefault"]) == ("classes", True)
    check_qml(style["styleQML"], classes["colours"])


def check_qml(text, colours):
    """That a style has the structure in which QGIS 3 writes and reads a categorised renderer."""
    root = ElementTree.fromstring(text)
    assert root.tag == "qgis" and root.attrib["version"].startswith("3.")
    assert "Symbology" in root.attrib["styleCategories"]
    renderer = root.find("renderer-v2")
    assert renderer.attrib["type"] == "categorizedSymbol"
    assert [child.tag for child in renderer][:2] == ["categories", "symbols"]
    symbols = {symbol.attrib["name"]: symbol for symbol in renderer.find("symbols")}
    labels = []
    for category in renderer.find("categories"):
        assert category.tag == "category"
        assert (category.attrib["render"], category.attrib["type"]) == ("true", "long")
        labels.append(category.attrib["label"])
        symbol = symbols.pop(category.attrib["symbol"])
        assert (symbol.tag, symbol.attrib["type"], symbol.attrib["alpha"]) == (
            "symbol",
            "fill",
            "1",
        )
        (layer,) = symbol.findall("layer")
        assert (layer.attrib["class"], layer.attrib["enabled"]) == ("SimpleFill", "1")
        (options,) = layer.findall("Option")
        assert options.attrib == {"type": "Map"}
        values = {o.attrib["name"]: o.attrib["value"] for o in options.findall("Option")}
        assert all(o.attrib["type"] == "QString" for o in options.findall("Option"))
        colour = colours[category.attrib["value"]]
        assert values["color"] == ",".join(map(str, colour))
        assert values["style"] == "solid"
    assert labels == list(NAMES)
    assert not symbols
