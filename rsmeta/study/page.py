"""What a study comes to: tables as markdown, figures, and a page with both."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd

from rsmeta.errors import StudyError
from rsmeta.pages import inlined, page_template
from rsmeta.report.plot import Plot
from rsmeta.study.columns import SCORES, VARIANT
from rsmeta.study.config import HeatMap, Study
from rsmeta.study.figures import accuracy_by_cost, heat_map, variant_accuracy
from rsmeta.study.markdown import study_tables
from rsmeta.study.tables import tables_of


def write_page(study: Study, results: pd.DataFrame, folder: Path) -> str:
    """Write NAME.md, NAME.html and the figures in NAME_figures.

    Args:
        study: The study.
        results: Its finished cells, one a row; at least one.
        folder: Where to write.

    Returns:
        The tables as markdown.

    Raises:
        StudyError: A file cannot be written.
    """
    drawn = [(plot, plot.png()) for plot in plots_of(study, results)]
    tables = tables_of(study, results)
    text = study_tables(study.name, tables)
    page = page_template("study.html.j2").render(
        name=study.name,
        tables=tables,
        figures=[(plot, inlined(png)) for plot, png in drawn],
        cells=len(results),
    )
    files = {
        folder / f"{study.name}.md": text.encode(),
        folder / f"{study.name}.html": page.encode(),
    }
    pictures = {folder / f"{study.name}_figures" / f"{plot.name}.png": png for plot, png in drawn}
    for path, content in (files | pictures).items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise StudyError(f"'{path}' cannot be written: {error.strerror}") from error
    return text


def plots_of(study: Study, results: pd.DataFrame) -> Iterator[Plot]:
    """The figures of a study: heat maps where it names any, else its variants."""
    seen: Counter[str] = Counter()
    for plot in _plots(study, results):
        seen[plot.name] += 1  # levels `a b` and `a-b` have one name of a file
        number = seen[plot.name]
        yield plot if number == 1 else replace(plot, name=f"{plot.name}_{number}")


def _plots(study: Study, results: pd.DataFrame) -> Iterator[Plot]:
    if study.heat_maps:
        for figure in study.heat_maps:
            yield from _heat_maps(study, figure, results)
        return
    for levels in product(*study.axes.values()):
        chosen = results
        for axis, level in zip(study.axes, levels, strict=True):
            chosen = chosen[chosen[axis] == level]
        if chosen.empty:
            continue
        place = ", ".join(levels) or "All cells"
        height = 1.6 + 0.42 * chosen[VARIANT].nunique()
        ending = "".join(f"_{_file_name(level)}" for level in levels)
        caption = f"{place}: mean and standard error over seeds."
        yield Plot(f"variants{ending}", caption, variant_accuracy, chosen, (8.0, height))
        if study.search is not None:
            caption = f"{place}: what accuracy costs, all trials of a search counted."
            yield Plot(f"cost{ending}", caption, accuracy_by_cost, chosen, (8.0, 5.0))


def _heat_maps(study: Study, figure: HeatMap, results: pd.DataFrame) -> Iterator[Plot]:
    rows, columns = list(study.axes[figure.rows]), list(study.axes[figure.columns])
    for variant, chosen in results.groupby(VARIANT, sort=False):
        for score in SCORES:
            mean = chosen.pivot_table(score, figure.rows, figure.columns, "mean")
            table = mean.reindex(index=rows, columns=columns)
            table.attrs["score"] = score
            names = (figure.rows, figure.columns, str(variant), score)
            size = (2.4 + 0.7 * len(columns), 1.8 + 0.42 * len(rows))
            yield Plot(
                "_".join(map(_file_name, names)),
                f"{variant}: {score} accuracy over {figure.rows} and {figure.columns}, "
                "mean over seeds.",
                heat_map, table, (max(size[0], 5.0), max(size[1], 3.0)),
            )  # fmt: skip


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
