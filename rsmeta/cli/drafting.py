"""The command that drafts a recipe: init."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsmeta.cli.options import AsJson
from rsmeta.cli.output import print_json
from rsmeta.errors import RecipeError

if TYPE_CHECKING:
    from rsmeta.drafting.chips import ChipListing
    from rsmeta.drafting.recipe import Draft

app = typer.Typer()


@app.command(
    epilog="Examples: rsmeta init --chips chips --sensor sentinel1 · "
    "rsmeta init --scene scene.tif --labels fields.gpkg --class-column crop --sensor rgb"
)
def init(
    chips: Annotated[
        Path | None,
        typer.Option(help="Folder of chips: train/CLASS/* and test/CLASS/*, or CLASS/*."),
    ] = None,
    table: Annotated[Path | None, typer.Option(help="CSV or Parquet table of chips.")] = None,
    scene: Annotated[Path | None, typer.Option(help="Raster that --labels label.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Vector file of labels.")] = None,
    class_column: Annotated[
        str | None, typer.Option(help="Column of the labels that holds the class.")
    ] = None,
    sensor: Annotated[str | None, typer.Option(help="Sensor, e.g. sentinel1 or rgb.")] = None,
    bands: Annotated[
        str | None, typer.Option(help="Bands of the files in file order, e.g. VV,VH.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Recipe to write.")] = Path("recipe.yaml"),
    as_json: AsJson = False,
) -> None:
    """Look at chips or at a labelled scene and write a recipe for them."""
    if chips is None and table is None and scene is None:
        chips, table, scene = _ask_for_files()
    if sum(given is not None for given in (chips, table, scene)) != 1:
        raise RecipeError(["give exactly one of --chips, --table and --scene"])
    if scene is None and (labels is not None or class_column is not None):
        raise RecipeError(["--labels and --class-column go with --scene; leave them out"])
    if out.exists():
        raise RecipeError([f"'{out}' exists already; choose another name with --out"])
    names = None if bands is None else [name.strip() for name in bands.split(",")]
    from rsmeta.drafting.recipe import write_draft

    if scene is not None:
        labels = labels or Path(_ask("vector file of labels", "--labels"))
        class_column = class_column or _ask("column of the class", "--class-column")
        draft, listing = _from_scene(scene, labels, class_column, sensor, names, out), None
    else:
        draft, listing = _from_chips(chips, table, sensor, names, out)
    write_draft(out, draft, listing)
    if as_json:
        print_json({"recipe": out, "checks": list(draft.checks)})
        return
    for line in draft.checks:
        typer.echo(f"check:  {line}")
    typer.echo(f"recipe: {out}; next: rsmeta validate {out}")


def _from_scene(
    scene: Path,
    labels: Path,
    class_column: str,
    sensor: str | None,
    bands: list[str] | None,
    out: Path,
) -> "Draft":
    from rsmeta.drafting.recipe import draft_from_scene

    known = sensor or _ask_for_sensor(scene)
    return draft_from_scene(_name(out), scene, labels, class_column, known, bands)


def _from_chips(
    folder: Path | None,
    table: Path | None,
    sensor: str | None,
    bands: list[str] | None,
    out: Path,
) -> tuple["Draft", "ChipListing"]:
    from rsmeta.drafting.chips import list_folder, list_table
    from rsmeta.drafting.recipe import draft_from_chips

    if folder is not None:
        listing = list_folder(folder, out.with_name(f"{out.stem}_chips.csv"))
    else:
        assert table is not None
        listing = list_table(table)
    known = sensor or _ask_for_sensor(listing.paths[0])
    return draft_from_chips(_name(out), listing, known, bands), listing


def _name(out: Path) -> str:
    """Name of the recipe: that of its file, with what a name may hold."""
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in out.stem).strip("_")
    return plain or "recipe"


def _ask_for_files() -> tuple[Path | None, Path | None, Path | None]:
    kind = _ask("chips in a folder, a table, or a scene (folder, table, scene)", "--chips")
    if kind not in ("folder", "table", "scene"):
        raise RecipeError([f"'{kind}' is none of folder, table, scene"])
    path = Path(_ask("its path", "--chips"))
    return (
        path if kind == "folder" else None,
        path if kind == "table" else None,
        path if kind == "scene" else None,
    )


def _ask_for_sensor(raster: Path) -> str:
    """Ask, or fail, with the sensors that fit the bands of a raster."""
    from rsmeta.bands import SENSORS
    from rsmeta.drafting.bands import fitting_sensors
    from rsmeta.drafting.chips import descriptions

    found = descriptions(raster)
    fitting = fitting_sensors(found) or list(SENSORS)
    return _ask(f"sensor ({len(found)} band(s): {', '.join(fitting)})", "--sensor")


def _ask(question: str, option: str) -> str:
    """Ask a person; a script gets an error that names the option."""
    if not _is_interactive():
        raise RecipeError([f"{option} is missing: {question}"])
    answer: str = typer.prompt(question)
    return answer


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
