"""Runs and scenes as tables and lines for the terminal."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rsmeta.inspecting.run import InspectedRun
    from rsmeta.inspecting.scene import Fit, InspectedScene


def facts_table(found: "InspectedRun") -> Table:
    """What a run was made of."""
    card, recipe, facts = found.card, found.recipe, found.files.facts
    size = "not known" if card.pixel_size is None else f"{card.pixel_size:.3g} m"
    rows: dict[str, Any] = {
        "recipe": f"{recipe.name}, seed {recipe.seed}",
        "trained on": f"{recipe.data.source}: {facts.get('train_chips', '-')} chips, tested on "
        f"{facts.get('test_chips', '-')}",
        "bands": ", ".join(card.bands),
        "tile": f"{card.tile_size} pixels of {size}",
        "backbone": f"{card.backbone} (sha256 {card.backbone_sha256[:12]})",
        "method": f"{recipe.peft.method}, {facts.get('trainable_parameters', 0):,} parameters "
        "trained",
        "versions": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
    }
    table = Table(title="Run", show_header=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def modulator_table(found: "InspectedRun") -> Table:
    """Gammas by position and block."""
    gammas = found.modulator_map
    table = Table("γ", title="Strength γ of each adapter: position by block")
    for block in gammas.columns:
        table.add_column(str(block), justify="right")
    for position, row in gammas.iterrows():
        cells = ["·" if math.isnan(value) else f"{value:.2f}" for value in row]
        table.add_row(str(position), *cells)
    return table


def scene_lines(scene: "InspectedScene") -> Iterator[str]:
    """Size and place of a scene."""
    yield f"scene:      {scene.origin}"
    yield f"size:       {scene.width:,} x {scene.height:,} pixels"
    yield f"CRS:        {scene.crs or 'none'}, georeferenced by {scene.georeferenced_by}"
    yield f"pixel:      {scene.pixel_size or 'not known'}"
    if scene.alphas:
        yield f"alpha:      {scene.alphas} band(s), taken as masks"


def band_table(scene: "InspectedScene") -> Table:
    """Bands of a scene."""
    table = Table("band", "name", "type", "nodata", "scale", "offset")
    for number, band in enumerate(scene.bands, 1):
        nodata = "-" if band.nodata is None else f"{band.nodata:g}"
        values = (band.name or "-", band.dtype, nodata, f"{band.scale:g}", f"{band.offset:g}")
        table.add_row(str(number), *values)
    return table


def fit_lines(fit: "Fit", run: str) -> Iterator[str]:
    """Whether a run fits a scene, and why not."""
    if fit.problem is not None:
        yield f"run:        '{run}' does not fit: {fit.problem}"
        return
    matched = ", ".join(f"{band} = {name}" for band, name in fit.bands)
    yield f"run:        '{run}' fits: {matched}; {fit.tiles:,} tiles at half a tile's stride"
    for line in fit.cautions:
        yield f"caution:    {line}"
