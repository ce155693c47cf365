import shutil
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

import rsmeta as rs
from rsmeta.api.live_curves import notebook_display
from rsmeta.errors import RunError, SceneError, TargetError


@pytest.fixture
def run(finished_run):
    return rs.Run.read(finished_run[1])


def test_a_run_has_its_tables_and_recipe(run, finished_run):
    folder = finished_run[1]
    assert rs.Run.read(finished_run[0] / "runs" / "latest") == run
    assert run.recipe.name == "tiny" and isinstance(run.recipe, rs.Recipe)
    stored = pd.read_csv(folder / "per_class.csv")
    assert list(run.classes["class"]) == list(stored["class"]) == list(run.card.classes)
    assert run.accuracy["average"] == pytest.approx(stored["accuracy"].mean())
    assert len(run.history) == 2 and len(run.modulators) == 48
    assert run.confusion.shape == (11, 12)
    assert run.report.is_file()


def test_an_incomplete_run_is_told_at_once(finished_run, tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        rs.Run.read(tmp_path / "nowhere")
    copy = shutil.copytree(finished_run[1], tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"lacks model\.safetensors"):
        rs.Run.read(copy)


def test_names_of_classes_are_text_in_html(finished_run, tmp_path):
    copy = shutil.copytree(finished_run[1], tmp_path / "<i>copy")
    for table in copy.glob("*.csv"):
        text = table.read_text(encoding="utf-8")
        table.write_text(text.replace("ship", "<b onclick=x>ship"), encoding="utf-8")
    html = rs.Run.read(copy)._repr_html_()
    assert "<b onclick" not in html and "<i>" not in html
    assert "<td>&lt;b onclick=x&gt;ship</td>" in html
    assert "&lt;i&gt;copy" in html


def test_html_shows_accuracy_and_gammas(run):
    html = run._repr_html_()
    assert f"<tr><th>average</th><td>{run.accuracy['average']:.1%}</td></tr>" in html
    assert html.count("<summary>") == 4
    assert "<td>fc1</td>" in html


class Notebook:
    """Stands for IPython in a notebook, and keeps what it shows."""

    version_info = (9, 0)  # matplotlib asks

    def __init__(self, kernel):
        self.shown = []
        self.get_ipython = lambda: SimpleNamespace(kernel=kernel)
        self.display = SimpleNamespace(Image=lambda data, width: data, display=self._display)

    def _display(self, picture, display_id):
        self.shown.append(("new", picture))
        return SimpleNamespace(update=lambda next_one: self.shown.append(("again", next_one)))


def test_curves_grow_in_a_notebook(tiny_recipe, monkeypatch, capsys):
    notebook = Notebook(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    run = rs.finetune(tiny_recipe())
    assert [how for how, _ in notebook.shown] == ["new", "again"]  # one picture after each epoch
    first, second = (picture for _, picture in notebook.shown)
    assert first.startswith(b"\x89PNG") and second.startswith(b"\x89PNG") and first != second
    assert "training" not in capsys.readouterr().err  # no bar besides
    assert len(run.history) == 2


@pytest.mark.parametrize("found", [None, Notebook(kernel=None)])
def test_there_is_no_notebook_in_a_terminal(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", found)
    assert notebook_display() is None


def test_evaluation_gives_the_stored_accuracy_again(run):
    found = rs.evaluate(run)
    assert found.metrics.summary()["average"] == pytest.approx(run.accuracy["average"])


def test_runs_are_compared(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "other")
    found = rs.compare(run, copy)
    assert list(found.accuracy.columns) == [run.folder.name, "other"]
    with pytest.raises(RunError, match="one run alone"):
        rs.compare(run)


def test_inspection_tells_runs_scenes_and_recipes_apart(run, tmp_path):
    scene = rs.simulate(tmp_path / "scene.tif", "sar", size=128, seed=1).scene
    found = rs.inspect(scene, run=run)
    assert found.kind == "scene" and found.values["fit"]["fits"] is True
    assert [band["name"] for band in found.values["bands"]] == ["VV", "VH"]
    assert "<th>crs</th><td>EPSG:32631</td>" in found._repr_html_()
    assert rs.inspect(run).values["accuracy"] == run.accuracy
    recipe = rs.inspect(run.recipe)
    assert recipe.values["groups"]["tail"]["open water"] == 8
    assert recipe.values == rs.inspect(run.folder / "recipe.yaml").values
    with pytest.raises(TargetError, match="run and bands go with a scene"):
        rs.inspect(run, bands=["VV"])
    with pytest.raises(TargetError, match="measure goes with a recipe"):
        rs.inspect(scene, measure=True)


def test_an_unknown_sensor_is_told(tmp_path):
    with pytest.raises(SceneError, match="sensor 'radar' is unknown; allowed: optical, multis"):
        rs.simulate(tmp_path / "scene.tif", "radar")
