"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from rsmeta.cli.completion import complete_recipes, complete_runs

RecipeFile = Annotated[
    Path,
    typer.Argument(metavar="RECIPE", help="Recipe in YAML.", autocompletion=complete_recipes),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. peft.rank=16."),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run folder.", autocompletion=complete_runs)
]
RunOption = Annotated[Path, typer.Option(help="Run folder.", autocompletion=complete_runs)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
