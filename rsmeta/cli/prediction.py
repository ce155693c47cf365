"""Commands that use a model: predict, export."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from rsmeta.cli.dataclass_options import takes
from rsmeta.cli.options import AsJson, RunFolder, RunOption
from rsmeta.cli.output import plain_console, print_json
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
    run: RunOption = Path("runs/latest"),
    out: Annotated[Path, typer.Option(help="Folder for the products.")] = Path("predictions"),
    truth: Annotated[
        Path | None, typer.Option(help="Truth raster of the (single) scene, to compare with.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each scene, for scripts.")
    ] = False,
    options: PredictionOptions = PredictionOptions(),
) -> None:
    """Classify scenes tile by tile: maps, polygons, a summary and a STAC item."""
    from rsmeta.prediction import predict as classify
    from rsmeta.prediction import product_options
    from rsmeta.scene_evaluation import require_truth
    from rsmeta.scenes import Product, agreement, parse_bands, scene_sources

    sources = scene_sources(scenes or [], parse_bands(bands or []))
    if truth is not None and len(sources) > 1:
        raise SceneError("--truth goes with a single scene; predict the scenes one by one")
    if truth is not None and Product.CLASSES not in product_options(options).products:
        raise SceneError("--truth is compared with the class map; add classes to --products")
    if truth is not None:
        require_truth(truth)
    console = plain_console(stderr=True)
    for prediction in classify(sources, run, out, options, console=console):
        found = None if truth is None else agreement(prediction.classes, truth)
        if as_json:
            agreed = {} if found is None else {"agreement": asdict(found)}
            print_json(asdict(prediction) | agreed)
            continue
        for product, path in prediction.files.items():
            typer.echo(f"{product + ':':<15}{path}")
        if found is not None:
            typer.echo(
                f"agreement:     {found.overall:.1%} of the labelled pixels, "
                f"{found.mean_recall:.1%} on average over classes"
            )


@app.command(epilog="Example: rsmeta export runs/latest --to onnx")
def export(
    run: RunFolder,
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
    as_json: AsJson = False,
) -> None:
    """Export the model of a run to a format that other programs read."""
    from rsmeta.export import export_run

    files = export_run(run, to, run / "export" / to if out is None else out)
    if as_json:
        print_json({"files": list(files)})
        return
    for path in files:
        typer.echo(str(path))
