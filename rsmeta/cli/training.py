"""Commands that train: finetune, prune, study, distill."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rsmeta.cli.completion import complete_recipes
from rsmeta.cli.options import AsJson, Overrides, RecipeFile, RunFolder
from rsmeta.cli.output import plain_console, print_json
from rsmeta.cli.tables import metrics_table, pruning_table
from rsmeta.errors import PruningError, RunError

app = typer.Typer()


@app.command(epilog="Example: rsmeta finetune recipes/mstar_longtail.yaml --set peft.rank=16")
def finetune(
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="RECIPE", help="Recipe in YAML.", autocompletion=complete_recipes),
    ] = None,
    overrides: Overrides = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run that was interrupted, not a RECIPE."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model by a recipe, test it, and write a run folder."""
    from rsmeta.finetuning import finetune as run
    from rsmeta.finetuning import resume as go_on
    from rsmeta.recipe import Recipe
    from rsmeta.recipe_reading import read_recipe

    console = plain_console(stderr=True)
    if recipe is not None and resume is None:
        finished = run(read_recipe(Recipe, recipe, overrides or []), console)
    elif recipe is None and resume is not None and not overrides:
        finished = go_on(resume, console)
    else:
        raise RunError("give a RECIPE, with or without --set, or --resume RUN alone")
    report = finished.folder / "report.html"
    if as_json:
        accuracy = finished.metrics.summary()
        print_json({"run": finished.folder, "report": report, "accuracy": accuracy})
        return
    plain_console().print(metrics_table(finished.metrics))
    typer.echo(f"run:    {finished.folder}")
    typer.echo(f"report: {report}")


@app.command(epilog="Example: rsmeta prune runs/latest --keep 0.5")
def prune(
    run: RunFolder,
    keep: Annotated[
        float | None, typer.Option(help="Share of the sites to keep, the largest contributions.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Smallest contribution of a site to keep.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take out the adapters that contribute least, test again, and write a new run folder."""
    from rsmeta.peft.pruning import Criterion, KeepShare, Threshold

    criterion: Criterion
    if keep is not None and threshold is None:
        criterion = KeepShare(keep)
    elif threshold is not None and keep is None:
        criterion = Threshold(threshold)
    else:
        raise PruningError("say how much to prune by either --keep SHARE or --threshold VALUE")
    from rsmeta.pruning import prune_run  # late: it takes seconds

    pruned = prune_run(run, criterion)
    if as_json:
        parts = {"before": pruned.before, "after": pruned.after}
        accuracy = {name: part.metrics.summary() for name, part in parts.items()}
        print_json({"run": pruned.folder, "accuracy": accuracy})
        return
    plain_console().print(pruning_table(pruned))
    typer.echo(f"run:    {pruned.folder}")
    typer.echo(f"report: {pruned.folder / 'report.html'}")


@app.command(epilog="Example: rsmeta study recipes/studies/gamma_rules.yaml --limit 4")
def study(
    file: Annotated[
        Path,
        typer.Argument(metavar="STUDY", help="Study in YAML.", autocompletion=complete_recipes),
    ],
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("studies"),
    limit: Annotated[
        int | None, typer.Option(min=0, help="Run at most so many cells; 0: only the tables.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe's variants over several seeds, resuming, and compare them with error bars."""
    from rsmeta.recipe_reading import read_recipe
    from rsmeta.study.config import Study
    from rsmeta.study.page import write_page
    from rsmeta.study.run import finished_cells, run_study

    config = read_recipe(Study, file)
    for line in run_study(config, file.parent, results, limit):
        typer.echo(line, err=True)
    found = finished_cells(config, file.parent, results)
    page = write_page(config, found, results)
    if as_json:
        print_json({"page": page, "cells": len(found)})
    else:
        typer.echo(page)


@app.command(epilog="Example: rsmeta distill recipes/embedded_backbone.yaml backbone.safetensors")
def distill(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Argument(help="File to write (.safetensors).")],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Pretrain a small backbone on simulated optical chips, taught by a large one."""
    from rsmeta.recipe_reading import read_recipe
    from rsmeta.train.distill import DistillRecipe
    from rsmeta.train.distill import distill as run

    tell = partial(typer.echo, err=True) if as_json else typer.echo
    run(read_recipe(DistillRecipe, recipe, overrides or []), output, tell)
    if as_json:
        print_json({"file": output})
