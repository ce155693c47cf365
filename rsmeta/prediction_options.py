"""What can be chosen about prediction: the options of the command and of the Python API alike.

Nothing heavy is imported here, so that `rsmeta --help` is quick.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

from rsmeta.errors import SceneError

TestTimeAugmentation = Literal["none", "d4"]
MissingBands = Literal["error", "zero"]
ComplexPart = Literal["amplitude", "power"]
"""What to read complex values as: their absolute value, or its square; both linear."""
Resolution = Literal["pixel", "cell"]
EngineName = Literal["processes", "ray"]
ConfidenceType = Literal["float", "byte"]
OnError = Literal["stop", "skip"]
PredictionPrecision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class OnCommandLine:
    """What the command line says of an option.

    Attributes:
        help: Its text.
        flag: Its name there; None for that of the field.
        metavar: What stands for its value; None for its type.
        minimum: Its least value.
    """

    help: str
    flag: str | None = None
    metavar: str | None = None
    minimum: float | None = None


@dataclass(frozen=True)
class ClassificationOptions:
    """How a scene is read and its tiles are classified.

    Attributes:
        tile: Side of a tile in pixels, resized to what the model reads; None for that of the
            training chips.
        stride: Step between tiles in pixels, 1..tile; None for half a tile.
        augmentation: `none`, or `d4` for the mean over the eight orientations of each tile.
        missing_bands: `error` to refuse a scene that lacks bands of the model, `zero` to take the
            training mean for them.
        match_resolution: Whether scenes whose pixels are more than 10 % larger or smaller than
            those the model was trained on are resampled to these.
        complex_part: What complex values are read as; None refuses them.
    """

    tile: Annotated[
        int | None, OnCommandLine("Side of a tile in pixels; default: that of the training chips.")
    ] = None
    stride: Annotated[
        int | None, OnCommandLine("Step between tiles in pixels; default: half a tile.")
    ] = None
    augmentation: Annotated[
        TestTimeAugmentation,
        OnCommandLine("Test-time augmentation: d4 is the mean of 8 orientations.", "--tta"),
    ] = "none"
    missing_bands: Annotated[
        MissingBands,
        OnCommandLine("Bands that a scene lacks: an error, or zero (the training mean)."),
    ] = "error"
    match_resolution: Annotated[
        bool,
        OnCommandLine(
            "Resample scenes to the pixel size of the training chips.", "--match-resolution"
        ),
    ] = False
    complex_part: Annotated[
        ComplexPart | None,
        OnCommandLine("Read complex SAR as linear amplitude or power.", "--complex"),
    ] = None

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for option in fields(self):
            allowed, value = _choices(hints[option.name]), getattr(self, option.name)
            if allowed and value not in allowed:
                listed = ", ".join(map(str, allowed))
                raise SceneError(f"{option.name} {value!r} is unknown; allowed: {listed}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Options by their names.

        Raises:
            SceneError: A name or a value is not allowed.
        """
        known = [option.name for option in fields(cls)]
        for name in values:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise SceneError(f"option '{name}' is unknown{hint} (allowed: {', '.join(known)})")
        return cls(**values)


@dataclass(frozen=True)
class PredictionOptions(ClassificationOptions):
    """How scenes are classified, and what is written.

    Attributes:
        resolution: Grid of the maps: `cell` for one value a step, `pixel` for that of the scene.
        products: What to write, with commas: classes, confidence, probabilities, gpkg, parquet,
            geojson, summary, quicklook, report, webmap, item, or all; None for classes, confidence,
            gpkg, summary and item.
        confidence: Values of the confidence map: `float` for float32 in 0..1, or `byte` for uint8
            with a scale.
        minimum_confidence: In (0, 1]; less confident cells become the class `unknown`.
        minimum_area: In square metres; smaller polygons are merged into their largest neighbour.
        on_error: `stop` at the first scene that cannot be classified, or `skip` it: the others
            are classified, and `failed.csv` in the folder of the products tells the reason.
        workers: Processes that classify. With several, each has the model and its share of the
            processor cores, and as many scenes are under way at a time.
        engine: `processes` of this machine, or `ray`: the workers are actors of a Ray cluster.
        address: Of the cluster, for `ray` alone: `auto` for one that runs, HOST:PORT; None for one
            on this machine, or else a new one.
        gpus: GPUs of each Ray worker, or a fraction of one that several share.
        precision: Of the backbone's matrix products; None for that of the run.
        compile: Whether to use `torch.compile` where it is faster, which is measured once.
    """

    resolution: Annotated[
        Resolution, OnCommandLine("Grid of the maps: cell (one a step) or pixel (the scene's).")
    ] = "cell"
    products: Annotated[
        str | None,
        OnCommandLine(
            "What to write, with commas: classes, confidence, probabilities, gpkg, parquet, "
            "geojson, summary, quicklook, report, webmap, item, or all. Default: "
            "classes,confidence,gpkg,summary,item.",
            metavar="NAMES",
        ),
    ] = None
    confidence: Annotated[
        ConfidenceType,
        OnCommandLine("Confidence map: float (float32) or byte (uint8 with a scale)."),
    ] = "float"
    minimum_confidence: Annotated[
        float | None,
        OnCommandLine("Confidence in 0..1 below which a cell is 'unknown'.", "--min-confidence"),
    ] = None
    minimum_area: Annotated[
        float, OnCommandLine("Merge smaller polygons, in m2, into their largest neighbour.")
    ] = 0.0
    on_error: Annotated[
        OnError,
        OnCommandLine("After a scene that fails: stop, or skip it and list it in failed.csv."),
    ] = "stop"
    workers: Annotated[
        int, OnCommandLine("Processes that classify, each with a model of its own.", minimum=1)
    ] = 1
    engine: Annotated[
        EngineName,
        OnCommandLine("Workers are processes of this machine, or actors of a Ray cluster."),
    ] = "processes"
    address: Annotated[
        str | None,
        OnCommandLine(
            "Ray cluster: auto (one that runs), HOST:PORT; default: one here, or a new one."
        ),
    ] = None
    gpus: Annotated[
        float, OnCommandLine("GPUs of each Ray worker, or a fraction of one.", minimum=0.0)
    ] = 0.0
    precision: Annotated[
        PredictionPrecision | None,
        OnCommandLine("Of the backbone's matrix products; default: that of the run."),
    ] = None
    compile: Annotated[
        bool,
        OnCommandLine(
            "Use torch.compile where it is faster here: measured once, in a minute or two, and "
            "remembered. Last bits of the confidences may differ."
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine != "ray" and (self.address is not None or self.gpus):
            raise SceneError("address and gpus are for the engine 'ray'; give --engine ray")
        if self.engine == "ray" and self.compile:
            raise SceneError("compiled models stay in their process; leave out --compile with Ray")


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Values that a type allows; none at all where it does not list them."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    parts = [_choices(part) for part in get_args(annotation)]
    found = tuple(value for part in parts for value in part)
    return (*found, None) if found and type(None) in get_args(annotation) else found
