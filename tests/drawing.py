"""Drawing figures as a report does, and reading what is written in them."""

import warnings

from matplotlib.figure import Figure


def draw(function, table):
    """Axes with the figure drawn and laid out; any warning, as of a letter no font has, fails."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    ax = figure.add_subplot()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(table, ax)
        figure.draw_without_rendering()
    return ax


def texts(ax):
    return [text.get_text() for text in ax.texts]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]
