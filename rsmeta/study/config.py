"""What a study compares, as written in YAML."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rsmeta.recipe import Section
from rsmeta.study.columns import RESERVED

Assignments = dict[str, Any]
"""Values of a recipe by dotted key, such as `peft.rank: 16`."""


class GammaOf(Section):
    """Train with the modulators that another variant has learned, fixed."""

    variant: str = Field(description="Name of the other variant.")
    pattern: Literal["learned", "mean", "shuffled"] = Field(
        default="learned", description="As of peft.gamma_from in a recipe."
    )


class Variant(Section):
    """One of the things compared."""

    set: Assignments = Field(default_factory=dict, description="Values of the recipe, by key.")
    gamma_of: GammaOf | None = Field(
        default=None, description="Fixed modulators that another variant has learned."
    )


class HeatMap(Section):
    """A figure of two axes: mean accuracy at each pair of their levels."""

    rows: str = Field(description="Name of an axis.")
    columns: str = Field(description="Name of another axis.")


class Search(Section):
    """Hyperparameter search by Optuna, as a baseline: positions, depths, scale, learning rate.

    Trials are judged on chips held out from the training chips. The best of them is trained on all
    training chips, and becomes a variant of its own for each budget.
    """

    budgets: list[Annotated[int, Field(ge=1)]] = Field(
        default=[5, 10, 20, 40], min_length=1, description="Numbers of trials."
    )
    fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the training chips that judges trials."
    )
    set: Assignments = Field(
        default={"peft.modulators": "fixed"}, description="Values of all trials, by key."
    )

    @model_validator(mode="after")
    def _budgets_differ(self) -> "Search":
        if len(set(self.budgets)) != len(self.budgets):
            raise ValueError("budgets: a number stands twice")
        return self


class Study(Section):
    """A recipe and what is varied of it; every combination is a cell, run once for each seed."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Start of the names of its results."
    )
    recipe: Path = Field(description="The recipe; relative to the study's file.")
    seeds: list[int] = Field(
        default=[0, 1, 2, 3, 4], min_length=1, description="Each cell is run once for each."
    )
    set: Assignments = Field(default_factory=dict, description="Values of all cells, by key.")
    variants: dict[str, Variant] = Field(min_length=1, description="What is compared, by name.")
    axes: dict[str, Annotated[dict[str, Assignments], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Further choices, such as data sets or adapters: every variant is run at every "
        "combination of their levels, and compared within it.",
    )
    search: Search | None = Field(default=None, description="Search as a baseline; default: none.")
    heat_maps: list[HeatMap] = Field(
        default_factory=list, description="Figures of the mean accuracy over two axes."
    )
    baseline: str = Field(description="The variant that the others are compared with, in pairs.")

    @model_validator(mode="after")
    def _names_exist(self) -> "Study":
        if self.baseline not in self.variants:
            raise ValueError(
                f"baseline '{self.baseline}' is none of the variants: {', '.join(self.variants)}"
            )
        for name, variant in self.variants.items():
            source = None if variant.gamma_of is None else variant.gamma_of.variant
            if source is not None and source not in self.variants:
                raise ValueError(f"variants.{name}.gamma_of: there is no variant '{source}'")
            if source is not None and self.variants[source].gamma_of is not None:
                raise ValueError(
                    f"variants.{name}.gamma_of: '{source}' takes its modulators from another too"
                )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: a seed stands twice")
        if taken := sorted(RESERVED & set(self.axes)):
            raise ValueError(
                f"axes: '{taken[0]}' is a column of the results; give the axis another name"
            )
        named = {name for figure in self.heat_maps for name in (figure.rows, figure.columns)}
        if unknown := sorted(named - set(self.axes)):
            raise ValueError(f"heat_maps: there is no axis '{unknown[0]}'")
        if any(figure.rows == figure.columns for figure in self.heat_maps):
            raise ValueError("heat_maps: rows and columns are one axis; name two")
        return self
