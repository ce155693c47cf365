"""The data sources a recipe may name."""

from typing import Annotated

from pydantic import Field

from rsmeta.recipe.combined import CombinedData, Single
from rsmeta.recipe.packed import PackedData

Data = Annotated[Single | CombinedData | PackedData, Field(discriminator="source")]
