"""The report of a run: its figures as PNG files, and one HTML page that opens offline."""

import io
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from rsmeta.errors import RunError
from rsmeta.longtail.metrics import Group
from rsmeta.report import figures
from rsmeta.report.run_files import RunFiles
from rsmeta.runs import final_path

_DPI = 160
_CSS_PIXELS_PER_INCH = 96


@dataclass(frozen=True)
class _Plot:
    """A figure of the report: what draws which table, how large in inches, and its caption."""

    name: str
    caption: str
    draw: Callable[[pd.DataFrame, Axes], None]
    table: pd.DataFrame
    size: tuple[float, float]

    def png(self) -> bytes:
        """The figure as PNG; the same bytes for the same table."""
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        figure = Figure(figsize=self.size, layout=layout, facecolor="white")
        self.draw(self.table, figure.add_subplot(facecolor="white"))
        stream = io.BytesIO()
        # By default the file names the version of matplotlib.
        figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
        return stream.getvalue()

    @property
    def css_width(self) -> int:
        """Width on the page at which all figures have letters of the same size."""
        return round(self.size[0] * _CSS_PIXELS_PER_INCH)


def write_report(run: Path) -> Path:
    """Write `report.html`: figures, tables, recipe and provenance in one file.

    The page needs no other file and no network: figures and styles are inside, scripts are not.
    The figures are also written to the folder `figures` as PNG files: `modulators` (only where
    the method has any), `bands` (only where bands have updates), `class_distribution`,
    `class_accuracy`, `confusion`, `learning_curves`.

    Args:
        run: Run folder.

    Returns:
        Path of the page.

    Raises:
        RunError: A file of the run is missing or damaged, or the page cannot be written.
    """
    content = RunFiles.read(run)
    page = run / "report.html"
    drawn = [(plot, plot.png()) for plot in _plots(content)]
    for plot, png in drawn:
        _write(run / "figures" / f"{plot.name}.png", png)
    # PackageLoader keeps the page's markup a file of its own; names of classes are foreign text.
    environment = Environment(
        loader=PackageLoader("rsmeta", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "value": _value, "words": _words}
    html = environment.get_template("report.html.j2").render(
        name=final_path(run.resolve()).name,
        run=content,
        groups=_groups(content),
        figures=[(plot, b64encode(png).decode("ascii")) for plot, png in drawn],
        classes=figures.by_training_chips(content.classes).to_dict("records"),
        modulators=content.modulators.to_dict("records"),
    )
    _write(page, html.encode("utf-8"))
    return page


# --- parts ----------------------------------------------------------------------------------------


def _plots(run: RunFiles) -> list[_Plot]:
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
        _Plot(
            "class_distribution",
            "How many training chips each class has, and the group that puts it in.",
            figures.class_distribution, run.classes, bars,
        ),
        _Plot(
            "class_accuracy",
            "Share of each class's test chips that are classified as it, in the same order.",
            figures.class_accuracy, run.classes, bars,
        ),
        _Plot(
            "confusion",
            "Where the test chips of each class went; the diagonal is right.",
            figures.confusion_matrix, run.confusion, (max(side + 0.8, 5.2), max(side, 4.2)),
        ),
        _Plot(
            "learning_curves",
            "Mean loss of the inner loop (adapters and head) and of the outer loop (γ).",
            figures.learning_curves, run.history, (7.0, 4.2),
        ),
    ]  # fmt: skip


def _modulator_plot(table: pd.DataFrame) -> _Plot:
    blocks, positions = int(table["block"].max()) + 1, table["position"].nunique()
    cell = 0.6 if blocks <= 14 else 0.44
    return _Plot(
        "modulators",
        "How strongly each adapter acts: at 1 as without a modulator, at 0 not at all.",
        figures.modulator_map,
        table,
        (float(np.clip(2.4 + cell * blocks, 6.0, 16.0)), 1.7 + 0.42 * positions),
    )


def _band_plot(table: pd.DataFrame) -> _Plot:
    return _Plot(
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


def _percent(share: float | None) -> str:
    """A share in percent, a dash where it is undefined."""
    return "–" if share is None or np.isnan(share) else f"{100 * share:.1f} %"


def _value(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{int(value):,}"
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    return ", ".join(map(_value, value)) if isinstance(value, list) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise RunError(
            f"'{path}' cannot be written: {error.strerror}; check permissions and free space"
        ) from error
