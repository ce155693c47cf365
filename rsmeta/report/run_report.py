"""The report of a run: its figures as PNG files, and one HTML page that opens offline."""

from pathlib import Path

import numpy as np
import pandas as pd

from rsmeta.drafts import final_path
from rsmeta.errors import RunError
from rsmeta.longtail.calibration import expected_calibration_error, reliability_table
from rsmeta.longtail.intervals import estimate, score_columns
from rsmeta.longtail.metrics import Group
from rsmeta.report import figures
from rsmeta.report.page import inlined, page_template
from rsmeta.report.plot import Plot
from rsmeta.report.run_files import RunFiles


def write_report(run: Path) -> Path:
    """Write `report.html`: figures, tables, recipe and provenance in one file.

    The page needs no other file and no network: figures and styles are inside, scripts are not.
    The figures are also written to the folder `figures` as PNG files: `modulators` (only where
    the method has any), `bands` (only where bands have updates), `class_distribution`,
    `class_accuracy`, `confusion`, `reliability` (only where the run has the predictions of its
    test chips), `learning_curves`.

    Args:
        run: Run folder.

    Returns:
        Path of the page.

    Raises:
        RunError: A file of the run is missing or damaged, or the page cannot be written.
    """
    content = RunFiles.read(run)
    page = run / "report.html"
    drawn = [(plot, plot.png()) for plot in run_plots(content)]
    for plot, png in drawn:
        _write(run / "figures" / f"{plot.name}.png", png)
    html = page_template("report.html.j2").render(
        name=final_path(run.resolve()).name,
        run=content,
        groups=_groups(content),
        figures=[(plot, inlined(png)) for plot, png in drawn],
        classes=figures.by_training_chips(_with_scores(content)).to_dict("records"),
        modulators=content.modulators.to_dict("records"),
    )
    _write(page, html.encode("utf-8"))
    return page


# --- parts ----------------------------------------------------------------------------------------


def run_plots(run: RunFiles) -> list[Plot]:
    """The figures of a run, in the order of the report."""
    in_blocks = run.modulators["block"].notna()
    adapters, bands = run.modulators[in_blocks], run.modulators[~in_blocks]
    plots = [] if adapters.empty else [_modulator_plot(adapters)]
    plots += [] if bands.empty else [_band_plot(bands)]
    many = len(run.classes)
    bars = (float(np.clip(2.6 + 0.3 * many, 7.0, 11.0)), 4.2)
    side = 3.2 + (0.42 if many <= 15 else 0.17) * min(many, 60)
    return [
        *plots,
        Plot(
            "class_distribution",
            "How many training chips each class has, and the group that puts it in.",
            figures.class_distribution, run.classes, bars,
        ),
        Plot(
            "class_accuracy",
            "Share of each class's test chips that are classified as it, in the same order.",
            figures.class_accuracy, run.classes, bars,
        ),
        Plot(
            "confusion",
            "Where the test chips of each class went; the diagonal is right.",
            figures.confusion_matrix, run.confusion, (max(side + 0.8, 5.2), max(side, 4.2)),
        ),
        *_reliability_plots(run),
        Plot(
            "learning_curves",
            "Mean loss of the inner loop (adapters and head) and of the outer loop (γ).",
            figures.learning_curves, run.history, (7.0, 4.2),
        ),
    ]  # fmt: skip


def _reliability_plots(run: RunFiles) -> list[Plot]:
    if run.predictions is None or not len(run.predictions.labels):
        return []
    error = expected_calibration_error(run.predictions)
    caption = (
        "How often the model is right, by how sure it is: on the diagonal it is as often right as "
        f"it says. Expected calibration error {100 * error:.1f} %; the numbers are test chips."
    )
    table = reliability_table(run.predictions)
    return [Plot("reliability", caption, figures.reliability_diagram, table, (6.4, 4.8))]


def _with_scores(run: RunFiles) -> pd.DataFrame:
    """The classes with recall, precision and F1, and their intervals."""
    groups = [Group(name) for name in run.classes["group"]]
    confusion = run.confusion.iloc[:, 1:].to_numpy(dtype=np.int64)
    return run.classes.assign(**score_columns(estimate(confusion, groups)))


def _modulator_plot(table: pd.DataFrame) -> Plot:
    blocks, positions = int(table["block"].max()) + 1, table["position"].nunique()
    cell = 0.6 if blocks <= 14 else 0.44
    return Plot(
        "modulators",
        "How strongly each adapter acts: at 1 as without a modulator, at 0 not at all.",
        figures.modulator_map,
        table,
        (float(np.clip(2.4 + cell * blocks, 6.0, 16.0)), 1.7 + 0.42 * positions),
    )


def _band_plot(table: pd.DataFrame) -> Plot:
    return Plot(
        "bands",
        "How strongly the update of each band's kernel acts: at 1 as without a modulator, at 0 "
        "not at all.",
        figures.band_modulators,
        table,
        (7.0, 1.4 + 0.3 * len(table)),
    )


def _groups(run: RunFiles) -> list[tuple[str, float | None, str]]:
    """Name, accuracy and a note for each of the large numbers."""
    sizes = run.classes["group"].value_counts()
    rows = []
    for group in Group:
        size = int(sizes.get(group.value, 0))
        rows.append((group.value, run.accuracy[group.value], _plural(size, "class", "classes")))
    average = ("average", run.accuracy["average"], "mean over classes")
    chips = _plural(int(run.classes["test_chips"].sum()), "test chip", "test chips")
    return [*rows, average, ("overall", run.accuracy["overall"], chips)]


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise RunError(
            f"'{path}' cannot be written: {error.strerror}; check permissions and free space"
        ) from error
