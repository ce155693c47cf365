"""The command that looks at recipes, runs and scenes: inspect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsmeta.cli.completion import complete_runs
from rsmeta.cli.inspection_tables import (
    band_table,
    facts_table,
    fit_lines,
    modulator_table,
    scene_lines,
)
from rsmeta.cli.options import AsJson, Overrides
from rsmeta.cli.output import plain_console, print_json
from rsmeta.cli.plan import print_checked
from rsmeta.errors import TargetError

if TYPE_CHECKING:
    from rsmeta.inspecting.recipe import TrainingTime

app = typer.Typer()


@app.command(
    epilog="Examples: rsmeta inspect recipe.yaml · rsmeta inspect runs/latest · "
    "rsmeta inspect scene.tif --run runs/latest"
)
def inspect(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Recipe, run folder or scene.")],
    run: Annotated[
        Path | None,
        typer.Option(
            help="Of a scene: tell whether this run fits it.", autocompletion=complete_runs
        ),
    ] = None,
    bands: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Of a scene: names of its bands, as for predict."),
    ] = None,
    overrides: Overrides = None,
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="Of a recipe: train a few steps, to tell the time; done unless refused.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a recipe, a run or a scene is."""
    from rsmeta.inspecting.target import Kind, kind_of

    kind = kind_of(target)
    if kind is not Kind.SCENE and (run is not None or bands):
        raise TargetError(f"--run and --bands go with a scene; '{target}' is a {kind.value}")
    if kind is not Kind.RECIPE and overrides:
        raise TargetError(f"--set goes with a recipe; '{target}' is a {kind.value}")
    if kind is not Kind.RECIPE and measure is not None:
        raise TargetError(f"--[no-]measure goes with a recipe; '{target}' is a {kind.value}")
    if kind is Kind.RECIPE:
        _inspect_recipe(Path(target), overrides or [], measure is not False, as_json)
    elif kind is Kind.RUN:
        _inspect_run(Path(target), as_json)
    else:
        _inspect_scenes(target, run, bands or [], as_json)


def _inspect_recipe(path: Path, overrides: list[str], measure: bool, as_json: bool) -> None:
    from rsmeta.inspecting.recipe import measure_training, recipe_values
    from rsmeta.recipe import Recipe
    from rsmeta.recipe_reading import read_recipe
    from rsmeta.validation import validate_recipe

    recipe = read_recipe(Recipe, path, overrides)
    checked = validate_recipe(recipe)
    time = measure_training(recipe, checked) if measure else None
    if as_json:
        print_json(recipe_values(recipe, checked, time))
        return
    print_checked(checked)
    typer.echo(
        f"backbone:   {recipe.backbone.name}, {checked.built.backbone_parameters:,} parameters"
    )
    if time is not None:
        typer.echo(_time_line(time))


def _time_line(time: "TrainingTime") -> str:
    minutes = time.seconds / 60
    total = f"{time.seconds:.0f} s" if minutes < 2 else f"{minutes:,.0f} min"
    return (
        f"time:       about {total} of training on this machine: {time.steps:,} steps of "
        f"{time.step_seconds:.3g} s (mean of {time.measured} that were made) after "
        f"{time.start_seconds:.2g} s"
    )


def _inspect_run(path: Path, as_json: bool) -> None:
    from rsmeta.cli.tables import stored_table
    from rsmeta.inspecting.run import inspect_run

    found = inspect_run(path)
    if as_json:
        print_json(found.values())
        return
    console = plain_console()
    console.print(facts_table(found), stored_table(found.files))
    if not found.modulator_map.empty:
        console.print(modulator_table(found))
    for name, gamma in found.band_modulators.items():
        typer.echo(f"γ of band {name}: {gamma:.2f}")


def _inspect_scenes(target: str, run: Path | None, bands: list[str], as_json: bool) -> None:
    from rsmeta.inspecting.scene import fit_of, inspect_scene
    from rsmeta.scenes import parse_bands, scene_sources

    entries = []
    for source in scene_sources([target], parse_bands(bands)):
        scene = inspect_scene(source, run)
        fit = None if run is None else fit_of(run, source)
        entries.append(scene.values() | ({} if fit is None else {"fit": fit.values()}))
        if not as_json:
            for line in scene_lines(scene):
                typer.echo(line)
            plain_console().print(band_table(scene))
            for line in [] if fit is None else fit_lines(fit, str(run)):
                typer.echo(line)
    if as_json:
        print_json(entries)
