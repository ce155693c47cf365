import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import rsmeta as rs
from rsmeta.errors import RunError
from rsmeta.report.run_report import run_plots


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


def test_a_figure_that_a_run_does_not_have(run):
    with pytest.raises(RunError, match="has no figure 'bands'; it has modulators, class_dist"):
        rs.plot.bands(run)
