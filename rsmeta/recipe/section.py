"""What all sections of a recipe have in common."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

_LARGEST = 1e20
"""Optimisers divide by 1 - beta, 1e-16 at least: the quotient still fits into float32."""


class Section(BaseModel):
    """Base of all sections: immutable; unknown keys and numbers beyond 1e20 are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _default_variants(cls, values: Any) -> Any:
        """A section that does not say which variant it is means the default one."""
        if not isinstance(values, dict):
            return values
        tags = {}
        for name, field in cls.model_fields.items():
            tag, section = field.discriminator, values.get(name)
            missing = isinstance(section, dict) and tag not in section
            if isinstance(tag, str) and isinstance(field.default, Section) and missing:
                tags[name] = {tag: getattr(field.default, tag), **values[name]}
        return values | tags

    @model_validator(mode="after")
    def _numbers_can_be_computed_with(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, float) and abs(value) > _LARGEST:
                raise ValueError(
                    f"{name} {value:g} is too large to compute with; allowed: up to {_LARGEST:g}"
                )
        return self
