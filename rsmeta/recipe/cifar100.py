"""Recipe section: CIFAR-100-LT."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from rsmeta.bands import Band, sensor
from rsmeta.recipe.chips import ChipOptions


class Cifar100Data(ChipOptions):
    """CIFAR-100 with an exponentially long-tailed training set (Cui et al. 2019)."""

    source: Literal["cifar100"]
    root: Path = Field(description="Folder that holds, or is to hold, cifar-100-python.")
    download: bool = Field(default=False, description="Download it where it is missing.")
    imbalance: float = Field(
        default=100.0,
        ge=1,
        description="Largest class count over smallest; usual are 10, 50 and 100.",
    )
    draw: Literal["benchmark", "seed"] = Field(
        default="benchmark",
        description="benchmark: the chips of the usual code, class 0 the most frequent, alike for "
        "all seeds; seed: the recipe's seed draws which classes are frequent, and the chips.",
    )

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order."""
        return sensor("rgb").bands

    @property
    def units(self) -> None:
        """The images need no conversion."""
        return None
