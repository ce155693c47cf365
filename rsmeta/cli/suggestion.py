"""The command that asks for labels: suggest."""

from pathlib import Path
from typing import Annotated

import typer

from rsmeta.cli.options import AsJson, RunOption
from rsmeta.cli.output import plain_console, print_json

app = typer.Typer()


@app.command(epilog="Example: rsmeta suggest scene.tif --run runs/latest -n 50 --out to_label.gpkg")
def suggest(
    scene: Annotated[str, typer.Argument(metavar="SCENE", help="Scene, as for predict.")],
    bands: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Names of the scene's bands, as for predict."),
    ] = None,
    run: RunOption = Path("runs/latest"),
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Tiles to suggest.")] = 50,
    out: Annotated[
        Path | None, typer.Option(help="GeoPackage to write; default: SCENE_suggestions.gpkg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the tiles of a scene whose labels would help most, to be labelled in QGIS."""
    from rsmeta.prediction import single_scene
    from rsmeta.scenes import parse_bands
    from rsmeta.suggestion import suggest as choose

    source = single_scene(scene, parse_bands(bands or []))
    path = Path(f"{source.name}_suggestions.gpkg") if out is None else out
    frame = choose(source, run, path, count, console=plain_console(stderr=True))
    if as_json:
        tiles = frame[["rank", "predicted_class", "confidence", "score"]].to_dict("records")
        print_json({"file": path, "tiles": tiles})
        return
    for name, tiles in frame["predicted_class"].value_counts(sort=False).items():
        typer.echo(f"{tiles:>5} taken for {name}")
    typer.echo(f"tiles: {path}; fill in the column 'label', then add to the scenes of a recipe:")
    typer.echo(f"{{raster: {scene}, labels: {path}, class_column: label, split: train}}")
