"""Figures of runs and classified scenes, drawn into your axes or into new ones.

Those of runs are the figures of the report. Each function takes `ax`, where to draw (None for a new
figure of pyplot), and returns the axes.
"""

import json

import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from rasterio.enums import Resampling

from rsmeta.api.prediction import Prediction
from rsmeta.api.run import RunLike, run_of
from rsmeta.errors import RunError, SceneError
from rsmeta.report.plot import page_layout
from rsmeta.report.run_report import run_plots
from rsmeta.report.scene_figures import confidence_histogram, histogram_table
from rsmeta.report.style import SMALL, plain
from rsmeta.scenes import Product

__all__ = [
    "bands",
    "bands_course",
    "class_accuracy",
    "class_distribution",
    "class_map",
    "confidence",
    "confusion",
    "features",
    "hard_tail_chips",
    "learning_curves",
    "mistakes",
    "modulators",
    "modulators_course",
    "reliability",
    "scale_trials",
]

_LONGEST_SIDE = 1024


def modulators(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the strength γ of each adapter as a map of block by position.

    Raises:
        RunError: The method of the run has no modulators.
    """
    return _drawn("modulators", run, ax)


def modulators_course(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the strength γ of each adapter by epoch.

    Raises:
        RunError: The run has no modulators that were learned.
    """
    return _drawn("modulators_course", run, ax)


def scale_trials(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the loss after a short training with each scale that was tried.

    Raises:
        RunError: No scales were tried in the run.
    """
    return _drawn("scale_trials", run, ax)


def bands(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the strength γ of each band's update.

    Raises:
        RunError: The bands of the run have no updates.
    """
    return _drawn("bands", run, ax)


def bands_course(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the strength γ of each band's update by epoch.

    Raises:
        RunError: The run has no modulators of bands that were learned.
    """
    return _drawn("bands_course", run, ax)


def class_distribution(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the training chips of each class, most frequent first, coloured by group."""
    return _drawn("class_distribution", run, ax)


def class_accuracy(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the share of each class's test chips that are classified as it."""
    return _drawn("class_accuracy", run, ax)


def confusion(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw where the test chips of each class went, in percent of the true class."""
    return _drawn("confusion", run, ax)


def reliability(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw how often the model is right, by how sure it is.

    Raises:
        RunError: The run does not have the predictions of its test chips.
    """
    return _drawn("reliability", run, ax)


def mistakes(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the test chips that are classified wrongly with the highest confidence.

    Raises:
        RunError: The run has no pictures of its test chips.
    """
    return _drawn("mistakes", run, ax)


def hard_tail_chips(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the test chips of tail classes whose class is given the least probability.

    Raises:
        RunError: The run has no pictures of its test chips, or no tail class.
    """
    return _drawn("hard_tail_chips", run, ax)


def features(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the features of the test chips in two dimensions (t-SNE), coloured by class.

    Raises:
        RunError: The run does not have the features of its test chips.
    """
    return _drawn("features", run, ax)


def learning_curves(run: RunLike, ax: Axes | None = None) -> Axes:
    """Draw the loss of the inner and of the outer loop by epoch."""
    return _drawn("learning_curves", run, ax)


def class_map(prediction: Prediction, ax: Axes | None = None) -> Axes:
    """Draw the class map of a scene, at most 1024 pixels on a side, with the classes that occur.

    Raises:
        SceneError: The class map was not asked for.
    """
    names = prediction.classes.attrs["class_names"]
    with rasterio.open(prediction.files[Product.CLASSES]) as dataset:
        step = max(1.0, max(dataset.shape) / _LONGEST_SIDE)
        shape = [max(1, round(side / step)) for side in dataset.shape]
        values = dataset.read(1, out_shape=tuple(shape), resampling=Resampling.nearest)
        colormap, nodata = dataset.colormap(1), int(dataset.nodata)
    colours = np.zeros((nodata + 1, 4), dtype=np.uint8)
    for value in range(len(names)):
        colours[value] = colormap[value]
    target = _axes((7.0, 7.0 * shape[0] / shape[1])) if ax is None else ax
    target.imshow(colours[values], interpolation="nearest")
    target.set_axis_off()
    counts = np.bincount(values.ravel(), minlength=nodata + 1)[: len(names)]
    order = [int(value) for value in np.argsort(-counts, kind="stable") if counts[value]]
    handles = [Patch(color=colours[value] / 255, label=plain(names[value])) for value in order]
    if handles:
        target.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0,
            frameon=False, fontsize=SMALL,
        )  # fmt: skip
    return target


def confidence(prediction: Prediction, ax: Axes | None = None) -> Axes:
    """Draw how much of a scene is classified with which confidence.

    Raises:
        SceneError: The summary was not asked for.
    """
    if Product.SUMMARY not in prediction.files:
        raise SceneError("the product 'summary' was not asked for; add it to the products")
    facts = json.loads(prediction.files[Product.SUMMARY].read_text(encoding="utf-8"))
    target = _axes((7.0, 3.8)) if ax is None else ax
    confidence_histogram(histogram_table(facts["confidence"]["histogram"]), target)
    return target


def _drawn(name: str, run: RunLike, ax: Axes | None) -> Axes:
    """Draw the figure of the report that has a name."""
    found = run_of(run)
    plots = {plot.name: plot for plot in run_plots(found.files)}
    if name not in plots:
        raise RunError(f"run '{found.folder}' has no figure '{name}'; it has {', '.join(plots)}")
    target = _axes(plots[name].size) if ax is None else ax
    plots[name].draw(plots[name].table, target)
    return target


def _axes(size: tuple[float, float]) -> Axes:
    """Axes of a new figure, which a notebook shows by itself."""
    from matplotlib import pyplot  # late: it chooses a window system

    ax: Axes
    _, ax = pyplot.subplots(figsize=size, layout=page_layout(), facecolor="white")
    return ax
