"""Commands about recipes and their chips: validate, pack, schema."""

from pathlib import Path
from typing import Annotated

import typer

from rsmeta.cli.options import AsJson, Overrides, RecipeFile
from rsmeta.cli.output import plain_console, print_json
from rsmeta.cli.plan import print_checked

app = typer.Typer()


@app.command(epilog="Example: rsmeta validate recipes/mstar_longtail.yaml")
def validate(recipe: RecipeFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check all of a recipe that can be checked without training."""
    from rsmeta.recipe import Recipe
    from rsmeta.recipe_reading import read_recipe
    from rsmeta.validation import validate_recipe

    read = read_recipe(Recipe, recipe, overrides or [])
    checked = validate_recipe(read)
    if as_json:
        from rsmeta.inspecting.recipe import recipe_values

        print_json(recipe_values(read, checked, None))
        return
    print_checked(checked)
    typer.echo("the recipe is valid")


@app.command(epilog="Example: rsmeta pack recipes/mstar_longtail.yaml mstar.arrow")
def pack(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write (.arrow).")],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Pack all chips of a recipe into one file that training reads fast."""
    from rich.progress import Progress

    from rsmeta.data.inspection import load_inspected
    from rsmeta.data.packed import pack_chips, packed_section
    from rsmeta.recipe import Recipe
    from rsmeta.recipe_reading import read_recipe

    packed = read_recipe(Recipe, recipe, overrides or [])
    data = load_inspected(packed).data
    chips = len(data.train) + len(data.test)
    with Progress(console=plain_console(stderr=True), transient=True) as bar:
        task = bar.add_task("chips", total=chips)
        pack_chips(data, out, lambda: bar.advance(task))
    size, section = out.stat().st_size, packed_section(packed, data, out)
    if as_json:
        print_json({"file": out, "chips": chips, "bytes": size, "data": section})
        return
    typer.echo(f"packed: {out} ({chips} chips, {size / 2**20:,.0f} MiB)")
    typer.echo(f"data:   {section}")


@app.command(epilog="Example: rsmeta schema > recipes/recipe.schema.json")
def schema() -> None:
    """Print the JSON schema of recipes, which editors complete and check recipes with."""
    import json

    from rsmeta.recipe import Recipe

    typer.echo(json.dumps(Recipe.model_json_schema(), indent=2))
