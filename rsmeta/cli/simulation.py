"""The command that simulates scenes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rsmeta.bands import SimulatedSensor
from rsmeta.cli.options import AsJson
from rsmeta.cli.output import print_json

app = typer.Typer()


@app.command(epilog="Example: rsmeta simulate --sensor sar --size 2048 --seed 0 scene.tif")
def simulate(
    scene: Annotated[Path, typer.Argument(help="GeoTIFF to write.")],
    sensor: Annotated[SimulatedSensor, typer.Option(help="Sensor.")] = SimulatedSensor.SAR,
    size: Annotated[int, typer.Option(help="Side in pixels of 2 m.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the ground.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate a scene, with its truth as a raster and as polygons."""
    from rsmeta.data.simulator.product import write_scene

    product = write_scene(scene, sensor, size, seed)
    if as_json:
        print_json(asdict(product))
        return
    typer.echo(f"scene:    {product.scene}")
    typer.echo(f"truth:    {product.truth}")
    typer.echo(f"polygons: {product.polygons}")
