"""Commands about results: evaluate, verify, compare, report."""

from pathlib import Path
from typing import Annotated

import typer

from rsmeta.cli.completion import complete_recipes, complete_runs
from rsmeta.cli.evaluation_tables import (
    agreement_table,
    class_table,
    comparison_tables,
    summary_table,
)
from rsmeta.cli.options import AsJson, RunFolder
from rsmeta.cli.output import plain_console, print_json
from rsmeta.errors import RunError

app = typer.Typer()


@app.command(
    epilog="Examples: rsmeta evaluate runs/latest --out evaluation · "
    "rsmeta evaluate runs/latest --scene scene.tif --truth scene_truth.tif"
)
def evaluate(
    run: RunFolder,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="RECIPE",
            help="Recipe, or its data section alone, whose test chips to take; default: those of "
            "the run.",
            autocompletion=complete_recipes,
        ),
    ] = None,
    scene: Annotated[
        str | None, typer.Option(help="Scene to classify and to compare with --truth, instead.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="True classes of the scene: a raster, or polygons.")
    ] = None,
    class_column: Annotated[
        str | None,
        typer.Option(help="Column of polygons in --truth that holds the class; default: class."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the results to, as JSON and CSV.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the bootstrap; default: 0.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test a run's model again, on its test chips, other chips or a scene, with intervals."""
    if (scene is None) != (truth is None):
        raise RunError("--scene and --truth go together; give both or neither")
    if scene is not None and truth is not None:
        if data is not None or out is not None or seed is not None:
            raise RunError("--scene goes with none of --data, --out and --seed; leave them out")
        _evaluate_scene(run, scene, truth, class_column, as_json)
        return
    if class_column is not None:
        raise RunError("--class-column goes with --scene and --truth; leave it out")
    from rsmeta.evaluation import evaluate_run

    found = evaluate_run(run, data, seed=seed or 0)
    if out is not None:
        found.write(out)
    if as_json:
        print_json(found.values())
        return
    plain_console().print(class_table(found), summary_table(found))
    typer.echo(f"calibration: expected error {found.calibration_error:.1%}")
    if out is not None:
        typer.echo(f"results:     {out}")


def _evaluate_scene(
    run: Path, scene: str, truth: Path, class_column: str | None, as_json: bool
) -> None:
    from dataclasses import asdict

    from rsmeta.scene_evaluation import evaluate_scene

    found = evaluate_scene(run, scene, truth, class_column)
    if as_json:
        print_json(asdict(found))
    else:
        plain_console().print(agreement_table(found))


@app.command(epilog="Example: rsmeta verify runs/latest")
def verify(run: RunFolder, as_json: AsJson = False) -> None:
    """Recompute the stored test results of a run; fail if they differ."""
    from rsmeta.evaluation import verify_run

    difference = verify_run(run)
    if as_json:
        print_json({"run": run, "largest_difference": difference})
        return
    typer.echo(f"run '{run}' gives its stored results again (largest difference {difference:.1g})")


@app.command(epilog="Example: rsmeta compare runs/lora runs/adapter --json")
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Run folders.", autocompletion=complete_runs),
    ],
    as_json: AsJson = False,
) -> None:
    """Compare runs: accuracy, modulators, and the recipe keys they differ in."""
    from rsmeta.comparison import compare_runs

    found = compare_runs(runs)
    if as_json:
        print_json(found.values())
        return
    for table in comparison_tables(found):
        plain_console().print(table)


@app.command(epilog="Example: rsmeta report runs/latest")
def report(run: RunFolder, as_json: AsJson = False) -> None:
    """Write the report of a run anew."""
    from rsmeta.report import write_report

    path = write_report(run)
    if as_json:
        print_json({"report": path})
    else:
        typer.echo(path)
