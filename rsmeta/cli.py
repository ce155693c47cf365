"""The command: parse, call, print."""

import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from rsmeta import __version__
from rsmeta.bands import SimulatedSensor
from rsmeta.errors import PruningError, RsmetaError, SceneError

if TYPE_CHECKING:
    from rsmeta.longtail.metrics import Metrics
    from rsmeta.pruning import PrunedRun

app = typer.Typer(
    name="rsmeta",
    help="Adapt pretrained vision transformers to remote sensing, and classify scenes with them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe in YAML.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. peft.rank=16."),
]


def main() -> None:
    """Run the command; an error of the user's becomes one line a problem and an exit status."""
    log = logging.getLogger("rsmeta")
    log.handlers = [logging.StreamHandler()]
    log.setLevel(logging.INFO)
    try:
        app()
    except RsmetaError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rsmeta {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: rsmeta finetune recipes/mstar_longtail.yaml --set peft.rank=16")
def finetune(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Fine-tune a model by a recipe, test it, and write a run folder."""
    from rsmeta.finetuning import finetune as run
    from rsmeta.recipe import Recipe
    from rsmeta.recipe_reading import read_recipe

    console = Console(stderr=True)
    finished = run(read_recipe(Recipe, recipe, overrides or []), console)
    Console().print(_metrics_table(finished.metrics))
    typer.echo(f"run:    {finished.folder}")
    typer.echo(f"report: {finished.folder / 'report.html'}")


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
    truth: Annotated[
        Path | None, typer.Option(help="Truth raster of the (single) scene, to compare with.")
    ] = None,
) -> None:
    """Classify scenes tile by tile: maps, polygons, a summary and a STAC item."""
    from rsmeta.prediction import predict as classify
    from rsmeta.scenes import (
        Product,
        ProductOptions,
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


@app.command(epilog="Example: rsmeta prune runs/latest --keep 0.5")
def prune(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    keep: Annotated[
        float | None, typer.Option(help="Share of the sites to keep, the largest contributions.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Smallest contribution of a site to keep.")
    ] = None,
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
    Console().print(_pruning_table(pruned))
    typer.echo(f"run:    {pruned.folder}")
    typer.echo(f"report: {pruned.folder / 'report.html'}")


@app.command(epilog="Example: rsmeta study recipes/studies/gamma_rules.yaml --limit 4")
def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY", help="Study in YAML.")],
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("studies"),
    limit: Annotated[
        int | None, typer.Option(min=0, help="Run at most so many cells; 0: only the tables.")
    ] = None,
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
    typer.echo(write_page(config, found, results))


@app.command(epilog="Example: rsmeta simulate --sensor sar --size 2048 --seed 0 scene.tif")
def simulate(
    scene: Annotated[Path, typer.Argument(help="GeoTIFF to write.")],
    sensor: Annotated[SimulatedSensor, typer.Option(help="Sensor.")] = SimulatedSensor.SAR,
    size: Annotated[int, typer.Option(help="Side in pixels of 2 m.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the ground.")] = 0,
) -> None:
    """Simulate a scene, with its truth as a raster and as polygons."""
    from rsmeta.data.simulator.product import write_scene

    product = write_scene(scene, sensor, size, seed)
    typer.echo(f"scene:    {product.scene}")
    typer.echo(f"truth:    {product.truth}")
    typer.echo(f"polygons: {product.polygons}")


@app.command(epilog="Example: rsmeta validate recipes/mstar_longtail.yaml")
def validate(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Check all of a recipe that can be checked without training."""
    from rsmeta.data.band_table import band_table
    from rsmeta.recipe import Recipe
    from rsmeta.recipe_reading import read_recipe
    from rsmeta.validation import validate_recipe

    checked = validate_recipe(read_recipe(Recipe, recipe, overrides or []))
    data, skipped = checked.inspected.data, checked.inspected.skipped
    for problem in skipped:
        typer.echo(f"skipped: {problem.reason}", err=True)
    Console().print(band_table(checked.inspected.bands))
    typer.echo(f"chips:      {len(data.train)} training, {len(data.test)} test")
    typer.echo(f"imbalance:  {data.imbalance_factor:.4g} (largest class over smallest)")
    for line in data.origin:
        typer.echo(f"  {line}")
    for group, classes in checked.groups.items():
        listed = ", ".join(f"{name} ({count})" for name, count in classes) or "no class"
        typer.echo(f"{group.value + ':':<11} {listed}")
    Console().print(checked.built.plan_table())
    megabytes = checked.memory / 2**20
    typer.echo(f"memory:     about {megabytes:,.0f} MiB for training, beyond the libraries")
    for line in checked.cautions:
        typer.echo(f"caution:    {line}")
    typer.echo("the recipe is valid")


@app.command(epilog="Example: rsmeta pack recipes/mstar_longtail.yaml mstar.arrow")
def pack(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write (.arrow).")],
    overrides: Overrides = None,
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
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("chips", total=chips)
        pack_chips(data, out, lambda: bar.advance(task))
    typer.echo(f"packed: {out} ({chips} chips, {out.stat().st_size / 2**20:,.0f} MiB)")
    typer.echo(f"data:   {packed_section(packed, data, out)}")


@app.command(epilog="Example: rsmeta schema > recipes/recipe.schema.json")
def schema() -> None:
    """Print the JSON schema of recipes, which editors complete and check recipes with."""
    import json

    from rsmeta.recipe import Recipe

    typer.echo(json.dumps(Recipe.model_json_schema(), indent=2))


@app.command(epilog="Example: rsmeta distill recipes/embedded_backbone.yaml backbone.safetensors")
def distill(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Argument(help="File to write (.safetensors).")],
    overrides: Overrides = None,
) -> None:
    """Pretrain a small backbone on simulated optical chips, taught by a large one."""
    from rsmeta.recipe_reading import read_recipe
    from rsmeta.train.distill import DistillRecipe
    from rsmeta.train.distill import distill as run

    run(read_recipe(DistillRecipe, recipe, overrides or []), output, typer.echo)


def _metrics_table(metrics: "Metrics") -> Table:
    table = Table("class", "group", "train", "test", "accuracy", title="Test chips")
    for entry in sorted(metrics.classes, key=lambda c: -c.train_chips):
        table.add_row(
            entry.name,
            entry.group.value,
            str(entry.train_chips),
            str(entry.test_chips),
            _share(entry.accuracy),
        )
    table.add_section()
    for name, value in metrics.summary().items():
        table.add_row(name, "", "", "", _share(value))
    return table


def _pruning_table(pruned: "PrunedRun") -> Table:
    before, after = pruned.before, pruned.after
    table = Table("", "before", "after", title="Test chips before and after pruning")
    accuracies = after.metrics.summary()
    for name, value in before.metrics.summary().items():
        table.add_row(name, _share(value), _share(accuracies[name]))
    table.add_section()
    table.add_row("sites", str(len(before.contributions)), str(len(after.contributions)))
    table.add_row(
        "trainable parameters", f"{before.trained_parameters:,}", f"{after.trained_parameters:,}"
    )
    return table


def _share(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1%}"
