"""Commands that use a model: predict, export."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from rsmeta.cli.dataclass_options import takes
from rsmeta.errors import SceneError
from rsmeta.prediction_options import PredictionOptions

app = typer.Typer()


@app.command(epilog="Example: rsmeta predict scene.tif --run runs/latest --out predictions")
@takes(PredictionOptions, after="out")
def predict(
    scenes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENE...",
            help="Rasters (paths, URLs, other names GDAL opens), folders, globs, paths with {band} "
            "for one file a band, text files with one of these a line, STAC items (JSON).",
        ),
    ] = None,
    bands: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the bands in file order (B02,B03), or the file, or the asset of STAC "
            "items, of each (B02=blue.tif,B03=green.tif); default: the rasters' descriptions.",
        ),
    ] = None,
    run: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/latest"),
    out: Annotated[Path, typer.Option(help="Folder for the products.")] = Path("predictions"),
    truth: Annotated[
        Path | None, typer.Option(help="Truth raster of the (single) scene, to compare with.")
    ] = None,
    options: PredictionOptions = PredictionOptions(),
) -> None:
    """Classify scenes tile by tile: maps, polygons, a summary and a STAC item."""
    from rsmeta.prediction import predict as classify
    from rsmeta.prediction import product_options
    from rsmeta.scenes import Product, agreement, parse_bands, scene_sources

    sources = scene_sources(scenes or [], parse_bands(bands or []))
    if truth is not None and len(sources) > 1:
        raise SceneError("--truth goes with a single scene; predict the scenes one by one")
    if truth is not None and Product.CLASSES not in product_options(options).products:
        raise SceneError("--truth is compared with the class map; add classes to --products")
    console = Console(stderr=True)
    for prediction in classify(sources, run, out, options, console=console):
        for product, path in prediction.files.items():
            typer.echo(f"{product + ':':<15}{path}")
        if truth is not None:
            found = agreement(prediction.classes, truth)
            typer.echo(
                f"agreement:     {found.overall:.1%} of the labelled pixels, "
                f"{found.mean_recall:.1%} on average over classes"
            )


@app.command(epilog="Example: rsmeta export runs/latest --to onnx")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    to: Annotated[
        Literal["timm", "onnx", "peft"],
        typer.Option(
            help="timm: a merged ViT that timm.create_model loads; onnx: one file from images to "
            "logits; peft: a LoRA adapter of Hugging Face peft."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: RUN/export/FORMAT.")
    ] = None,
) -> None:
    """Export the model of a run to a format that other programs read."""
    from rsmeta.export import export_run

    for path in export_run(run, to, run / "export" / to if out is None else out):
        typer.echo(str(path))
