"""Commands that use a model: predict, export."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from rsmeta.errors import SceneError

app = typer.Typer()


@app.command(epilog="Example: rsmeta predict scene.tif --run runs/latest --out predictions")
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
    tile: Annotated[
        int | None,
        typer.Option(help="Side of a tile in pixels; default: that of the training chips."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Step between tiles in pixels; default: half a tile.")
    ] = None,
    augmentation: Annotated[
        Literal["none", "d4"],
        typer.Option("--tta", help="Test-time augmentation: d4 is the mean of 8 orientations."),
    ] = "none",
    resolution: Annotated[
        Literal["pixel", "cell"],
        typer.Option(help="Grid of the maps: pixel (the scene's) or cell (one a step)."),
    ] = "pixel",
    missing_bands: Annotated[
        Literal["error", "zero"],
        typer.Option(help="Bands that a scene lacks: an error, or zero (the training mean)."),
    ] = "error",
    match_resolution: Annotated[
        bool,
        typer.Option(
            "--match-resolution", help="Resample scenes to the pixel size of the training chips."
        ),
    ] = False,
    complex_part: Annotated[
        Literal["amplitude", "power"] | None,
        typer.Option("--complex", help="Read complex SAR as linear amplitude or power."),
    ] = None,
    products: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What to write, with commas: classes, confidence, probabilities, gpkg, parquet, "
            "summary, quicklook, item, or all. Default: classes,confidence,gpkg,summary,item.",
        ),
    ] = None,
    confidence: Annotated[
        Literal["float", "byte"],
        typer.Option(help="Confidence map: float (float32) or byte (uint8 with a scale)."),
    ] = "float",
    minimum_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence", help="Confidence in 0..1 below which a cell is 'unknown'."
        ),
    ] = None,
    minimum_area: Annotated[
        float,
        typer.Option(help="Merge smaller polygons, in m2, into their largest neighbour."),
    ] = 0.0,
    on_error: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="After a scene that fails: stop, or skip it and list it in failed.csv."),
    ] = "stop",
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that classify, each with a model of its own.")
    ] = 1,
    engine: Annotated[
        Literal["processes", "ray"],
        typer.Option(help="Workers are processes of this machine, or actors of a Ray cluster."),
    ] = "processes",
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster: auto (one that runs), HOST:PORT; default: one here, or a new one."
        ),
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0.0, help="GPUs of each Ray worker, or a fraction of one.")
    ] = 0.0,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(help="Of the backbone's matrix products; default: the run's."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Truth raster of the (single) scene, to compare with.")
    ] = None,
) -> None:
    """Classify scenes tile by tile: maps, polygons, a summary and a STAC item."""
    from rsmeta.prediction import predict as classify
    from rsmeta.scenes import (
        Product,
        ProductOptions,
        RayCluster,
        agreement,
        parse_bands,
        parse_products,
        scene_sources,
    )
    from rsmeta.scenes.product_options import DEFAULT_PRODUCTS

    sources = scene_sources(scenes or [], parse_bands(bands or []))
    if truth is not None and len(sources) > 1:
        raise SceneError("--truth goes with a single scene; predict the scenes one by one")
    chosen = DEFAULT_PRODUCTS if products is None else parse_products(products)
    if truth is not None and Product.CLASSES not in chosen:
        raise SceneError("--truth is compared with the class map; add classes to --products")
    if engine != "ray" and (address is not None or gpus):
        raise SceneError("--address and --gpus are those of a Ray cluster; add --engine ray")
    console = Console(stderr=True)
    for prediction in classify(
        sources,
        run,
        out,
        tile=tile,
        stride=stride,
        augmentation=augmentation,
        resolution=resolution,
        missing_bands=missing_bands,
        complex_part=complex_part,
        match_resolution=match_resolution,
        products=ProductOptions(chosen, confidence, minimum_confidence, minimum_area),
        on_error=on_error,
        workers=workers,
        cluster=RayCluster(address, gpus=gpus) if engine == "ray" else None,
        precision=precision,
        console=console,
    ):
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
