"""The report of a run: its figures as PNG files, and one HTML page that opens offline."""

from pathlib import Path

import numpy as np
import pandas as pd

from rsmeta.chip_gallery import MISTAKE, TAIL
from rsmeta.drafts import final_path
from rsmeta.errors import RunError
from rsmeta.longtail.calibration import expected_calibration_error, reliability_table
from rsmeta.longtail.intervals import estimate, score_columns
from rsmeta.longtail.metrics import Group
from rsmeta.pages import inlined, page_template
from rsmeta.report import figures
from rsmeta.report.calibration_figures import calibration_diagram
from rsmeta.report.chip_figures import CHIP_TEXT, CHIPS_A_ROW, chip_pictures, feature_map
from rsmeta.report.course_figures import modulator_course, scale_trials
from rsmeta.report.plot import Plot
from rsmeta.report.run_files import RunFiles


def write_report(run: Path) -> Path:
    """Write `report.html`: figures, tables, recipe and provenance in one file.

    The page needs no other file and no network: figures and styles are inside, scripts are not.
    The figures are also written to the folder `figures` as PNG files: `modulators` and
    `modulators_course` (only where the method has any), `scale_trials` (only where scales were
    tried), `bands` and `bands_course` (only where bands have updates), `class_distribution`,
    `class_accuracy`, `confusion`, `reliability`, `mistakes`, `hard_tail_chips`, `features` (each
    only where the run has what it shows), `learning_curves`.

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
        chips=[] if content.chips is None else content.chips.to_dict("records"),
    )
    _write(page, html.encode("utf-8"))
    return page


# --- parts ----------------------------------------------------------------------------------------


def run_plots(run: RunFiles) -> list[Plot]:
    """The figures of a run, in the order of the report."""
    in_blocks = run.modulators["block"].notna()
    adapters, bands = run.modulators[in_blocks], run.modulators[~in_blocks]
    plots = [] if adapters.empty else [_modulator_plot(adapters)]
    plots += _course_plots("modulators_course", run.gammas[run.gammas["block"].notna()])
    plots += _trial_plots(run.history)
    plots += [] if bands.empty else [_band_plot(bands)]
    plots += _course_plots("bands_course", run.gammas[run.gammas["block"].isna()])
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
        *_chip_plots(run),
        *_feature_plots(run),
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
    if run.uncalibrated is None:
        return [Plot("reliability", caption, figures.reliability_diagram, table, (6.4, 4.8))]
    before = expected_calibration_error(run.uncalibrated)
    caption = (
        "How often the model is right, by how sure it is: on the diagonal it is as often right as "
        f"it says. Expected calibration error {100 * before:.1f} % before calibration, "
        f"{100 * error:.1f} % after; larger points are more test chips."
    )
    both = pd.concat([reliability_table(run.uncalibrated), table], ignore_index=True)
    both["calibrated"] = np.repeat([False, True], len(table))
    return [Plot("reliability", caption, calibration_diagram, both, (6.4, 4.8))]


def _chip_plots(run: RunFiles) -> list[Plot]:
    captions = {
        MISTAKE: (
            "mistakes",
            "Wrongly classified test chips that the model is surest about, with the true class "
            "and the predicted one. Stretched between 2nd and 98th percentile; radar in dB.",
        ),
        TAIL: (
            "hard_tail_chips",
            "Test chips of tail classes whose true class gets the least probability.",
        ),
    }
    plots = []
    for kind, (name, caption) in captions.items():
        own = pd.DataFrame() if run.chips is None else run.chips[run.chips["kind"] == kind]
        if len(own):
            height = 1.65 * (1 + CHIP_TEXT) * -(-len(own) // CHIPS_A_ROW)
            plots.append(Plot(name, caption, chip_pictures, own, (10.0, height + 0.4)))
    return plots


def _feature_plots(run: RunFiles) -> list[Plot]:
    if run.features.empty:
        return []
    caption = (
        "Features of the test chips on a plane by t-SNE: near each other are chips that the head "
        "sees alike; distances between far groups mean nothing."
    )
    return [Plot("features", caption, feature_map, run.features, (8.0, 6.4))]


def _course_plots(name: str, table: pd.DataFrame) -> list[Plot]:
    if table.empty:
        return []
    epochs = int(table["epoch"].max())
    rows = table.groupby(["block", "position"], dropna=False).ngroups
    size = float(np.clip(3 + 0.3 * epochs, 6.0, 11.0)), float(np.clip(1.4 + 0.08 * rows, 2.6, 9.0))
    caption = "How strongly each adapter acted while it was trained."
    if name == "bands_course":
        size = size[0], 1.4 + 0.3 * rows
        caption = "How strongly the update of each band's kernel acted while it was trained."
    return [Plot(name, caption, modulator_course, table, size)]


def _trial_plots(history: pd.DataFrame) -> list[Plot]:
    trials = history[history["trial_loss"].notna()]
    if trials.empty:
        return []
    caption = (
        "Class-balanced loss of the held-out chips after a short training with each scale, by "
        "which the scale was chosen that the outer loop began from."
    )
    return [Plot("scale_trials", caption, scale_trials, trials, (6.4, 3.6))]


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
