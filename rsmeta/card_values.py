"""What a model card must hold, checked before a model is built from it."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rsmeta.class_names import name_problems, unprintable

Positive = Annotated[float, Field(gt=0)]

_MOST_CLASSES = 65_534
_LARGEST_TILE = 2**16


class _Values(BaseModel):
    """Keys of later versions are passed over."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Limits(_Values):
    low: list[float]
    high: list[float]


class _Statistics(_Values):
    mean: list[float]
    std: list[Positive]
    limits: _Limits | None = None


class _Site(_Values):
    block: Annotated[int, Field(ge=0)] | None
    position: str


class _CardValues(_Values):
    classes: list[str] = Field(min_length=1, max_length=_MOST_CLASSES)
    bands: list[str] = Field(min_length=1)
    statistics: _Statistics
    tile_size: int = Field(ge=1, le=_LARGEST_TILE)
    backbone: str
    backbone_sha256: str
    sites: list[_Site]
    versions: dict[str, str]
    pixel_size: Positive | None = None
    temperature: Positive = 1.0

    @model_validator(mode="after")
    def _fits_itself(self) -> Self:
        limits = self.statistics.limits
        columns = [self.statistics.mean, self.statistics.std]
        columns += [] if limits is None else [limits.low, limits.high]
        if any(len(column) != len(self.bands) for column in columns):
            raise ValueError(f"its statistics are not of {len(self.bands)} bands")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class stands twice")
        problems = name_problems(self.classes)
        if problems:
            raise ValueError(problems[0])
        texts = (*self.bands, self.backbone, *self.versions, *self.versions.values())
        if any(map(unprintable, texts)):
            raise ValueError("a name has control characters")
        return self


def check_card(values: Mapping[str, Any]) -> None:
    """Check the plain values of a model card.

    Raises:
        ValueError: One is missing, is of another type, or does not fit the others; one line.
    """
    try:
        _CardValues.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {message}" if place else message) from error
