"""Recipes as notebooks write them: by keyword, with one line for every mistake."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from rsmeta import recipe
from rsmeta.api.card import Fold, card
from rsmeta.recipe_reading import assign, problems, read_values, validate


class Recipe(recipe.Recipe):
    """A fine-tuning run, from keyword sections: `Recipe(name="ships", data={...}, peft={...})`.

    Sections are mappings, or the models of `rsmeta.recipe`; `name` and `data` are needed, all
    others have defaults.

    Raises:
        RecipeError: The recipe is not valid; one problem a line.
    """

    def __init__(self, **sections: Any) -> None:
        try:
            super().__init__(**sections)
        except ValidationError as error:
            raise problems(type(self), sections, error) from error

    @classmethod
    def read(cls, path: str | PathLike[str], changes: Mapping[str, Any] | None = None) -> Self:
        """Read a recipe in YAML.

        Args:
            path: The file. `${NAME:-default}` in a string stands for an environment variable.
            changes: Values to set, by dotted key: `{"peft.rank": 16}`.

        Raises:
            RecipeError: The file cannot be read or the recipe is not valid; one problem a line.
        """
        return validate(cls, assign(cls, read_values(Path(path)), changes or {}))

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same recipe with other values.

        Args:
            changes: Values to set, by dotted key: `{"peft.modulators": "fixed"}`. Choosing another
                variant of a section, such as `peft.method`, starts that section afresh.

        Raises:
            RecipeError: The new recipe is not valid; one problem a line.
        """
        return validate(type(self), assign(type(self), self.model_dump(), changes))

    def _repr_html_(self) -> str:
        values = self.model_dump(mode="json")
        facts = {key: value for key, value in values.items() if not isinstance(value, dict)}
        folds = [
            Fold(key, section, is_open=key == "data")
            for key, section in values.items()
            if isinstance(section, dict)
        ]
        return card("Recipe", self.name, facts, folds)
