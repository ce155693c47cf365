"""A commented recipe from a look at chips or at a labelled scene."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsmeta.bands import Band
from rsmeta.bands import sensor as sensor_named
from rsmeta.class_names import name_problems
from rsmeta.data.statistics import BandAccumulator, BandSummary
from rsmeta.drafting.bands import choose_bands, suggest_units
from rsmeta.drafting.chips import ChipListing, descriptions, look_at_chips, look_at_labels
from rsmeta.drafting.layout import choose_layout
from rsmeta.errors import DataError, RecipeError
from rsmeta.pixel_size import pixel_size
from rsmeta.rasters import open_raster, read_masked, refuse_palette
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate

_WINDOWS = 8
_WINDOW = 256
_SMALLEST, _LARGEST = 16, 64  # pixels of a chip that is cut from a scene

_MODEL = """\
backbone:
  name: embedded        # the small one inside; or timm:..., torchgeo:..., with file: for weights
  image_size: 64        # chips are resized to this
peft:
  method: lora
  positions: [q, k, v, out, fc1, fc2]
  rank: 8
  modulators: learned   # one strength an adapter, learned by the outer loop
inner:
  epochs: 12
  batch_size: 32
  learning_rate: 0.03
outer:
  every: 4
  batch_size: 32
  learning_rate: 0.05
"""

Commented = Mapping[str, tuple[Any, str]]


@dataclass(frozen=True)
class Draft:
    """A recipe that is not written yet.

    Attributes:
        text: The recipe in YAML, with comments.
        checks: What the user should check, one line each.
    """

    text: str
    checks: tuple[str, ...]


def draft_from_chips(
    name: str, listing: ChipListing, sensor: str, bands: Sequence[str] | None
) -> Draft:
    """Draft a recipe for chips in files.

    Args:
        name: Name of the recipe.
        listing: The chips.
        sensor: Name of their sensor.
        bands: Names of their bands in file order; None to find them.

    Raises:
        BandError, DataError: The chips cannot be used as they are.
        RecipeError: The name is not one of a recipe.
    """
    chosen = choose_bands(sensor, descriptions(listing.paths[0]), bands)
    summaries, sizes = look_at_chips(listing.paths, chosen)
    (height, width), often = sizes.most_common(1)[0]
    alike = "all" if often == sizes.total() else "most"
    data = {key: (value, "") for key, value in listing.section.items()}
    checks = []
    if listing.table is not None:
        checks.append("test chips were drawn at random; if chips overlap, split them by place")
    seen = f"{alike} chips that were looked at have {width} x {height} pixels"
    return _draft(name, data, sensor, chosen, summaries, Counter(listing.labels), seen, checks)


def draft_from_scene(
    name: str,
    scene: Path,
    labels: Path,
    class_column: str,
    sensor: str,
    bands: Sequence[str] | None,
) -> Draft:
    """Draft a recipe for a scene that vectors label.

    Args:
        name: Name of the recipe.
        scene: One raster with all bands.
        labels: Vector file.
        class_column: Its column that holds the class.
        sensor: Name of the scene's sensor.
        bands: Names of its bands in file order; None to find them.

    Raises:
        BandError, DataError: The files cannot be used as they are.
        RecipeError: The name is not one of a recipe.
    """
    chosen = choose_bands(sensor, descriptions(scene), bands)
    counts, side = look_at_labels(labels, class_column)
    with open_raster(scene, DataError) as dataset:
        refuse_palette(dataset, DataError)
        size = pixel_size(dataset)
        if size is None:
            raise DataError(f"scene '{scene}' has no place on the ground; georeference it first")
        metres, shape, crs = math.sqrt(size.x * size.y), dataset.shape, dataset.crs
        summaries = _look_at_scene(dataset, chosen)
    chip = _chip_side(side, metres, min(shape))
    data: dict[str, tuple[Any, str]] = {
        "source": ("labelled_scene", ""),
        "scenes": ([{"raster": str(scene), "labels": str(labels)}], "any number of them"),
        "class_column": (class_column, ""),
        "minimum_cover": (0.5, "of a chip by its polygon"),
        "most_chips": (20, "of one feature"),
        "test_fraction": (0.2, ""),
    }
    section = {key: value for key, (value, _) in data.items()}
    section |= {"sensor": sensor, "bands": [band.name for band in chosen]}
    layout = choose_layout(section, chip, metres, max(shape))
    data["chip"] = (layout.chip, f"pixels, {layout.chip * metres:.4g} m")
    data["block_metres"] = (layout.block_metres, "blocks go to training or test as a whole")
    seen = f"{shape[1]} x {shape[0]} pixels of {size}, {crs.to_string() if crs else 'no CRS'}"
    checks = ["block_metres should exceed the distance over which the ground stays alike"]
    if layout.problem:
        checks.append(f"this is refused as it is: {layout.problem}")
    return _draft(name, data, sensor, chosen, summaries, counts, seen, checks)


def _look_at_scene(dataset: DatasetReader, bands: Sequence[Band]) -> tuple[BandSummary, ...]:
    """Statistics of windows spread over a scene, which may be too large to be read."""
    accumulator = BandAccumulator(bands)
    for row in range(_WINDOWS):
        for column in range(_WINDOWS):
            top = row * max(0, dataset.height - _WINDOW) // (_WINDOWS - 1)
            left = column * max(0, dataset.width - _WINDOW) // (_WINDOWS - 1)
            height, width = min(_WINDOW, dataset.height), min(_WINDOW, dataset.width)
            values, _ = read_masked(dataset, Window(left, top, width, height))
            accumulator.add(values)
    return accumulator.summaries()


def _chip_side(feature: float | None, metres: float, scene: int) -> int:
    """The power of two of pixels below the side of a typical feature, within limits."""
    pixels = 2 * _LARGEST if feature is None else feature / metres
    side = 2 ** int(math.log2(max(pixels, 1)))
    return int(max(2, min(max(side, _SMALLEST), _LARGEST, scene // 2)))


def _draft(
    name: str,
    data: Mapping[str, tuple[Any, str]],
    sensor: str,
    bands: Sequence[Band],
    summaries: Sequence[BandSummary],
    counts: Counter[str],
    seen: str,
    checks: Sequence[str],
) -> Draft:
    if problems := name_problems(list(counts)):
        raise DataError("\n".join(problems))
    section = dict(data)
    section["sensor"] = (sensor, "")
    if tuple(bands) != sensor_named(sensor).bands:
        section["bands"] = ([band.name for band in bands], "in file order")
    units = suggest_units(summaries)
    if units is not None:
        section["units"] = (units.values, "check: see above")
        checks = [*checks, f"units: {units.why}"]
    lines = ["# yaml-language-server: $schema=recipe.schema.json", f"# {seen}."]
    lines += [f"# {line}" for line in _value_lines(summaries)]
    lines += [f"# Classes: {', '.join(f'{n} {c}' for n, c in counts.most_common())}."]
    lines += [f"# Check: {check}." for check in checks]
    lines += [f"name: {_flow(name)}", "seed: 0", "data:", *_keys(section)]
    text = "\n".join(lines) + "\n" + _MODEL
    validate(Recipe, yaml.safe_load(text))
    return Draft(text, tuple(checks))


def _value_lines(summaries: Sequence[BandSummary]) -> list[str]:
    return [
        f"Values of {s.band.name}: 2 % {s.low:.4g}, median {s.median:.4g}, 98 % {s.high:.4g}, "
        f"{s.nodata:.1%} without data."
        for s in summaries
    ]


def _keys(section: Commented) -> list[str]:
    lines = []
    for key, (value, comment) in section.items():
        line = f"  {key}: {_flow(value)}"
        lines.append(f"{line}  # {comment}" if comment else line)
    return lines


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf)
    return str(text).removesuffix("...\n").strip()


def write_draft(out: Path, draft: Draft, listing: ChipListing | None = None) -> None:
    """Write a recipe and, where the chips need one, the table that `listing` holds.

    Args:
        out: The recipe's file.
        draft: The draft.
        listing: The chips that it is about.

    Raises:
        RecipeError: A file exists already, or cannot be written.
    """
    table = None if listing is None else listing.table
    files = [out] if listing is None or table is None else [out, Path(listing.section["file"])]
    for file in files:
        if file.exists():
            raise RecipeError([f"'{file}' exists already; choose another name with --out"])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if table is not None:
            table.to_csv(files[1], index=False, lineterminator="\n")
        out.write_text(draft.text, encoding="utf-8")
    except OSError as error:
        raise RecipeError([f"'{out}' cannot be written: {error.strerror}"]) from error
