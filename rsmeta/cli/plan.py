"""What a recipe amounts to, printed."""

from typing import TYPE_CHECKING

import typer

from rsmeta.cli.output import plain_console

if TYPE_CHECKING:
    from rsmeta.validation import ValidatedRecipe


def print_checked(checked: "ValidatedRecipe") -> None:
    """Print the chips, groups, plan, memory and cautions of a valid recipe."""
    from rsmeta.data.band_table import band_table

    data, skipped = checked.inspected.data, checked.inspected.skipped
    for problem in skipped:
        typer.echo(f"skipped: {problem.reason}", err=True)
    plain_console().print(band_table(checked.inspected.bands))
    typer.echo(f"chips:      {len(data.train)} training, {len(data.test)} test")
    typer.echo(f"imbalance:  {data.imbalance_factor:.4g} (largest class over smallest)")
    for line in data.origin:
        typer.echo(f"  {line}")
    for group, classes in checked.groups.items():
        listed = ", ".join(f"{name} ({count})" for name, count in classes) or "no class"
        typer.echo(f"{group.value + ':':<11} {listed}")
    plain_console().print(checked.built.plan_table())
    megabytes = checked.memory / 2**20
    typer.echo(f"memory:     about {megabytes:,.0f} MiB for training, beyond the libraries")
    for line in checked.cautions:
        typer.echo(f"caution:    {line}")
