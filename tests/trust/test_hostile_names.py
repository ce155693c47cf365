"""Names of classes and bands are foreign text: in every product they are text, and the same."""

import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
from scene_files import write_raster
from untrained_runs import write_untrained_run

from rsmeta.cli.output import plain_console
from rsmeta.cli.tables import stored_table
from rsmeta.errors import DataError, RunError, SceneError
from rsmeta.evaluation import evaluate_run
from rsmeta.finetuning import finetune
from rsmeta.prediction import predict
from rsmeta.prediction_options import PredictionOptions
from rsmeta.recipe import Recipe
from rsmeta.report.run_files import RunFiles
from rsmeta.runs import load_run
from rsmeta.scenes import Product, ProductOptions, predict_scene, scene_sources

NAMES = (
    "../../../etc/passwd",
    "a/b\\c:d*e?",
    "'; DROP TABLE classes; --",
    "\"><img src=x onerror='alert(1)'>",
    "</script><script>alert(2)</script>",
    "]]>&lt;!-- </title></style>",
    "{{ 7 * 7 }} {% raw %} ${HOME} %s {0}",
    "🚢 👩‍🌾 日本 سفن",
    "[/b] [red]x[/red] :car:",
    "$\\frac{$ _^",
    "a,b;c\"d'e",
    "NA",
    "-1",
    "x" * 5000,
)
BANDS = ("VV</script>", "../VH", "'; DROP TABLE x")
PLAIN = tuple(f"class {index}" for index in range(len(NAMES)))


class ByValue:
    """A tile is of the class whose number its pixels are."""

    tile_size = 8
    tile_sizes = range(1, 100)
    concurrency = 1
    fingerprint = "by value"
    bands = BANDS
    fill = np.zeros(len(BANDS), np.float32)

    def __init__(self, classes):
        self.classes = classes

    def convert(self, values):
        return values

    def probabilities(self, tiles):
        found = np.full((len(tiles), len(self.classes)), 0.01, np.float32)
        found[np.arange(len(tiles)), tiles[:, 0, 0, 0].astype(int)] = 0.87
        return found


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """All products of a scene with each class, by their kind, for some names of the classes."""
    top = tmp_path_factory.mktemp("top")
    numbers = np.repeat(np.arange(len(NAMES), dtype=np.float32), 8)
    values = np.broadcast_to(numbers, (len(BANDS), 16, len(numbers)))
    scene = write_raster(top / "<b>&'scene'.tif", values, names=BANDS)

    def make(folder, names):
        out = top / "deep" / "deeper" / folder
        before = {path for path in top.rglob("*") if out not in path.parents}
        options = ProductOptions(frozenset(Product))
        done = predict_scene(scene, ByValue(names), out, stride=8, products=options)
        after = {path for path in top.rglob("*") if out not in path.parents}
        assert after - before <= {out, out.parent, out.parent.parent}
        assert all(file.parent == out for file in done.files.values())
        return done.files

    return make("hostile", NAMES), make("plain", PLAIN)


def test_maps_have_the_very_names(products):
    files, _ = products
    with rasterio.open(files[Product.CLASSES]) as dataset:
        assert json.loads(dataset.tags()["CLASS_NAMES"]) == list(NAMES)
        assert list(np.unique(dataset.read(1))) == list(range(len(NAMES)))
    described = ElementTree.parse(f"{files[Product.CLASSES]}.aux.xml").iter("Category")
    assert [element.text for element in described] == list(NAMES)
    with rasterio.open(files[Product.PROBABILITIES]) as dataset:
        assert dataset.descriptions == NAMES


def test_vectors_have_the_very_names_and_no_other_table(products):
    files, _ = products
    frames = [
        pyogrio.read_dataframe(files[Product.GPKG], layer="classes"),
        gpd.read_parquet(files[Product.PARQUET]),
        pyogrio.read_dataframe(files[Product.GEOJSON]),
    ]
    for frame in frames:
        assert dict(zip(frame["class_id"], frame["class"], strict=True)) == dict(enumerate(NAMES))
    assert {name for name, _ in pyogrio.list_layers(files[Product.GPKG])} == {
        "classes", "layer_styles",
    }  # fmt: skip
    [qml] = pyogrio.read_dataframe(files[Product.GPKG], layer="layer_styles")["styleQML"]
    labels = [element.get("label") for element in ElementTree.fromstring(qml).iter("category")]
    assert labels == list(NAMES)


def test_json_has_the_very_names(products):
    files, _ = products
    summary = json.loads(files[Product.SUMMARY].read_text("utf-8"))
    assert [row["class"] for row in summary["classes"]] == list(NAMES)
    item = json.loads(files[Product.ITEM].read_text("utf-8"))
    found = item["assets"]["classes"]["classification:classes"]
    assert [row["name"] for row in found][:-1] == list(NAMES)
    assert all(asset["href"].startswith("./") for asset in item["assets"].values())
    assert all("/" not in asset["href"][2:] for asset in item["assets"].values())


class Skeleton(HTMLParser):
    """Elements with the names of their attributes, what scripts say, and the other text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self.text = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data):
        is_script = self.elements and self.elements[-1][0] == "script"
        (self.scripts if is_script else self.text).append(data)


@pytest.mark.parametrize("product", [Product.REPORT, Product.WEBMAP])
def test_pages_have_the_elements_that_they_have_with_plain_names(products, product):
    hostile, plain = (Skeleton(files[product].read_text("utf-8")) for files in products)
    assert hostile.elements == plain.elements
    assert len(hostile.scripts) == len(plain.scripts)
    shown = "".join(hostile.text)
    assert all(name in shown for name in NAMES)


def test_a_run_with_such_names_predicts_the_same_way(tmp_path):
    run = write_untrained_run(tmp_path / "run", NAMES)
    assert load_run(run).classes == NAMES
    noise = np.random.default_rng(0).normal(-10, 5, size=(2, 40, 40)).astype(np.float32)
    scene = write_raster(tmp_path / "scene.tif", noise, names=["VV", "VH"])
    options = PredictionOptions(products="classes,summary")
    [done] = predict([scene], run, tmp_path / "out", options)
    with rasterio.open(done.classes) as dataset:
        assert json.loads(dataset.tags()["CLASS_NAMES"]) == list(NAMES)


# --- training -------------------------------------------------------------------------------------


def chip_table(folder, labels):
    rng = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(labels):
        for index, split in enumerate(("train", "train", "test")):
            name = f"{number}_{index}.tif"
            values = rng.normal(number, 3, size=(1, 16, 16)).astype(np.float32)
            write_raster(folder / name, values, names=["VV"])
            rows.append({"path": name, "label": label, "split": split})
    table = folder / "chips.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    return table


def recipe_of(folder, labels):
    return Recipe.model_validate(
        {
            "name": "names",
            "runs": folder / "runs",
            "data": {
                "source": "table", "file": chip_table(folder, labels), "sensor": "sar",
                "bands": ["VV"],
            },
            "backbone": {"image_size": 16},
            "peft": {"method": "linear_probe"},
            "inner": {"epochs": 1, "batch_size": 8},
            "loggers": [],
        }
    )  # fmt: skip


def test_a_run_trained_on_such_names_has_them_in_its_tables_and_inert_in_its_report(tmp_path):
    names = sorted(NAMES)
    run = finetune(recipe_of(tmp_path, names)).folder
    files = RunFiles.read(run)
    assert list(files.classes["class"]) == names
    assert list(files.confusion["true class"]) == list(files.confusion.columns[1:]) == names
    evaluate_run(run).write(tmp_path / "evaluated")
    table = pd.read_csv(tmp_path / "evaluated" / "per_class.csv", keep_default_na=False)
    assert list(map(str, table["class"])) == names
    page = Skeleton((run / "report.html").read_text("utf-8"))
    assert not any(tag == "script" for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, found in page.elements for name in found)
    assert all(name in "".join(page.text) for name in names)
    console = plain_console()
    with console.capture() as shown:
        console.print(stored_table(files))
    assert "[/b] [red]x[/red] :car:" in shown.get()
    outside = {path.name for path in tmp_path.iterdir()}
    assert {name for name in outside if not name.endswith(".tif")} == {
        "chips.csv", "runs", "evaluated",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("=cmd|' /C calc'!A0", "begins with '=', which spreadsheets take for a formula"),
        ("@SUM(1)", "begins with '@'"),
        ("+1+1", r"begins with '\+'"),
        ("-2+3", "begins with '-'"),
        ("two\nlines", r"has the character U\+000A"),
        ("bell\x07", r"has the character U\+0007"),
    ],
)
def test_formulas_and_control_characters_are_no_names(tmp_path, name, reason):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=reason) as caught:
        finetune(recipe_of(tmp_path / "data", ["good", name]))
    assert "rename the class" in str(caught.value) and len(str(caught.value).splitlines()) == 1
    run = write_untrained_run(tmp_path / "run", ["good", name])
    with pytest.raises(RunError, match=reason):
        load_run(run)


@pytest.mark.parametrize("name", ["nul\0", "half \ud800", "line\u2028", "no \uffff", "back \u202e"])
def test_what_no_legend_can_show_is_refused_before_anything_is_written(tmp_path, name):
    scene = write_raster(tmp_path / "scene.tif", np.zeros((3, 8, 8), np.float32), names=BANDS)
    with pytest.raises(SceneError, match=r"with the character U\+") as caught:
        predict_scene(scene, ByValue(("good", name)), tmp_path / "out")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "out").exists()


def test_names_of_a_scene_cannot_steer_the_terminal(tmp_path):
    values = np.zeros((2, 8, 8), np.float32)
    scene = write_raster(tmp_path / "scene.tif", values, names=["B1\x1b[2J", "B2\nerror: fake"])
    with pytest.raises(SceneError, match="the model expects 3") as caught:
        predict_scene(scene, ByValue(PLAIN), tmp_path / "out")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("item_id", ["../../escaped", "..", "x" * 400, "🚢" * 200, "a\0b\x1b", " "])
def test_the_id_of_an_item_names_files_in_the_folder_of_products(tmp_path, item_id):
    classifier = ByValue(PLAIN)
    classifier.bands = ("VV", "VH", "HH")
    values = np.zeros((3, 8, 8), np.float32)
    write_raster(tmp_path / "values.tif", values, names=classifier.bands)
    bands = [{"name": name} for name in classifier.bands]
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": item_id, "geometry": None, "links": [],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {"data": {"href": "./values.tif", "bands": bands}},
    }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item), encoding="utf-8")
    [source] = scene_sources([tmp_path / "item.json"])
    done = predict_scene(source, classifier, tmp_path / "a" / "out", stride=8)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"values.tif", "item.json", "a"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"out"}
    assert all(file.is_file() and file.parent.name == "out" for file in done.files.values())
