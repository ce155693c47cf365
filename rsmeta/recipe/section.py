"""What all sections of a recipe have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Base of all sections: immutable; unknown keys, infinity and NaN are errors."""

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
