import json

import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import rsmeta as rs
from rsmeta.api.prediction import Prediction
from rsmeta.errors import RunError, SceneError
from rsmeta.report.run_report import run_plots
from rsmeta.scenes import Product


@pytest.fixture
def run(finished_run):
    return rs.Run.read(finished_run[1])


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def test_every_figure_of_the_report_is_a_function(run):
    for plot in run_plots(run.files):
        ax = Figure().add_subplot()
        assert getattr(rs.plot, plot.name)(run, ax) is ax
        reference = Figure().add_subplot()
        plot.draw(plot.table, reference)
        assert ax.get_title(loc="left") == reference.get_title(loc="left")
        assert [t.get_text() for t in ax.texts] == [t.get_text() for t in reference.texts]
        assert len(ax.get_children()) == len(reference.get_children())


def test_without_axes_a_figure_is_made(finished_run):
    first = rs.plot.confusion(finished_run[1])
    second = rs.plot.class_accuracy(finished_run[1])
    assert first.figure is not second.figure
    assert pyplot.get_fignums() == [first.figure.number, second.figure.number]


def test_the_confidence_of_a_scene_is_that_of_its_summary(tmp_path):
    facts = {"confidence": {"histogram": {"edges": [0, 0.5, 1], "pixels": [1, 3]}}}
    path = tmp_path / "scene_summary.json"
    path.write_text(json.dumps(facts))
    ax = Figure().add_subplot()
    assert rs.plot.confidence(Prediction({Product.SUMMARY: path}, {}), ax) is ax
    assert [bar.get_height() for bar in ax.patches] == [0.25, 0.75]
    with pytest.raises(SceneError, match="'summary' was not asked for"):
        rs.plot.confidence(Prediction({}, {}), ax)


def test_a_figure_that_a_run_does_not_have(run):
    with pytest.raises(RunError, match="no figure 'bands'; it has modulators, modulators_course, "):
        rs.plot.bands(run)
