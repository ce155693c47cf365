"""Reading a YAML recipe into a typed model, with overrides and one line for every mistake."""

import os
import re
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rsmeta.errors import RecipeError
from rsmeta.plain_yaml import parse_yaml, read_yaml

Model = TypeVar("Model", bound=BaseModel)

_LONGEST_TEXT, _LONGEST_MESSAGE = 200, 2000
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def read_recipe(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read a recipe.

    Args:
        model: The recipe's pydantic model.
        path: YAML file. `${NAME:-default}` in a string stands for an environment variable.
        overrides: `dotted.key=value` strings, the value in YAML; applied in order.

    Raises:
        RecipeError: The file cannot be read or the recipe is not valid; one problem a line.
    """
    return validate(model, override(model, read_values(path), overrides))


def read_values(path: Path) -> dict[str, Any]:
    """Read a recipe's plain values, with environment variables replaced, unchecked.

    Raises:
        RecipeError: The file cannot be read or a variable is not set.
    """
    values: dict[str, Any] = expand(_parse(path))
    return values


def validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Build the model from plain values.

    Raises:
        RecipeError: One line for each problem: key, value, what is allowed, nearest valid key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise problems(model, values, error) from error


def problems(
    model: type[BaseModel], values: Mapping[str, Any], error: ValidationError
) -> RecipeError:
    """What is wrong with plain values, one line each."""
    lines = [_line(model, values, detail) for detail in error.errors()]
    return RecipeError(list(dict.fromkeys(lines)))


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path)
    except FileNotFoundError as error:
        raise RecipeError([f"recipe '{path}' does not exist"]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([f"recipe '{path}' cannot be read: {error}"]) from error
    except ValueError as error:
        raise RecipeError([f"recipe '{path}' is not valid YAML: {error}"]) from error
    if not isinstance(content, dict):
        raise RecipeError([f"recipe '{path}' must be a mapping of keys to values"])
    return content


def expand(value: Any) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` in all strings by environment variables.

    Raises:
        RecipeError: A variable without a default is not set, or one stands in another.
    """
    if isinstance(value, dict):
        return {key: expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, str):
        return value
    found = _VARIABLE.sub(_variable, value)
    if found != value and _VARIABLE.search(found):
        # The recipe of a run is read again, and would then mean something else.
        raise RecipeError([f"'{_cut(value)}': environment variables cannot stand in one another"])
    return found


def _variable(match: re.Match[str]) -> str:
    found = os.environ.get(match["name"], match["default"])
    if found is None:
        raise RecipeError(
            [
                f"environment variable '{match['name']}' of the recipe is not set: set it or write "
                f"${{{match['name']}:-default}}"
            ]
        )
    return found


def override(
    model: type[BaseModel], values: dict[str, Any], overrides: Sequence[str]
) -> dict[str, Any]:
    """Apply `dotted.key=value` overrides to plain values.

    Choosing another variant of a section (such as `peft.method`) starts that section afresh, since
    the keys of one variant mean nothing to another.

    Raises:
        RecipeError: An override is not of the form `dotted.key=value`.
    """
    for text in overrides:
        key, equals, written = text.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")):
            raise RecipeError([f"override '{_cut(text)}' is not of the form dotted.key=value"])
        try:
            value = expand(parse_yaml(written))
        except ValueError as error:
            raise RecipeError([f"override '{_cut(text)}': the value is not valid YAML"]) from error
        _assign(model, values, key.strip().split("."), value)
    return values


def assign(
    model: type[BaseModel], values: dict[str, Any], assignments: Mapping[str, Any]
) -> dict[str, Any]:
    """Set values by dotted key, as `override` does.

    Raises:
        RecipeError: A key leads through what is a value.
    """
    for key, value in assignments.items():
        _assign(model, values, key.split("."), expand(value))
    return values


def _assign(model: type[BaseModel], values: dict[str, Any], keys: list[str], value: Any) -> None:
    section = values
    for position, key in enumerate(keys[:-1]):
        inner = section.get(key)
        if inner is None:
            inner = section[key] = {}
        if not isinstance(inner, dict):
            raise RecipeError([f"{'.'.join(keys)}: '{'.'.join(keys[: position + 1])}' is a value"])
        section = inner
    tags = {field for candidate in _models_at(model, keys[:-1]) for field in _tags(candidate)}
    if keys[-1] in tags and section.get(keys[-1], _default_tag(model, keys)) != value:
        section.clear()
    section[keys[-1]] = value


def _default_tag(model: type[BaseModel], keys: Sequence[str]) -> Any:
    """The tag of the variant that a section is if it does not say so."""
    parents = _models_at(model, keys[:-2])
    fields = [parent.model_fields[keys[-2]] for parent in parents]
    return next((getattr(field.default, keys[-1], None) for field in fields), None)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return [model for part in get_args(annotation) for model in _models(part)]
    return []


def _models_at(model: type[BaseModel], keys: Sequence[Any]) -> list[type[BaseModel]]:
    """The models that may stand at a location, which may contain the tags of unions."""
    current = [model]
    for key in keys:
        fields = [m.model_fields[key] for m in current if key in m.model_fields]
        if fields:
            current = [inner for field in fields for inner in _models(field.annotation)]
        else:
            # Variants without a tag of their own go by the name of their model.
            current = [
                m
                for m in current
                if key == m.__name__ or any(key in values for values in _tags(m).values())
            ]
    return current


def _tags(model: type[BaseModel]) -> dict[str, tuple[Any, ...]]:
    """Fields with exactly one allowed value: they tell the variants of a union apart."""
    literals = {
        name: get_args(field.annotation)
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is Literal
    }
    return {name: values for name, values in literals.items() if len(values) == 1}


def _line(model: type[BaseModel], values: Any, detail: ErrorDetails) -> str:
    location, current, shown = list(detail["loc"]), values, []
    for index, key in enumerate(location):
        present = isinstance(current, Mapping) and key in current
        present = present or (isinstance(current, list) and isinstance(key, int))
        tags = [values for m in _models_at(model, location[:index]) for values in _tags(m).values()]
        is_tag = any(key in values for values in tags)
        if present or (index == len(location) - 1 and not is_tag):
            shown.append(_cut(str(key)))
        if present:
            current = current[key]
    dotted = ".".join(shown) or "recipe"
    if detail["type"] == "extra_forbidden":
        allowed = sorted({f for m in _models_at(model, location[:-1]) for f in m.model_fields})
        near = get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return f"{dotted}: unknown key{hint} (allowed: {', '.join(allowed)})"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _variant_line(dotted, detail["ctx"])
    if detail["type"] == "missing":
        return f"{dotted}: is missing"
    message = _cut(detail["msg"].removeprefix("Value error, "), _LONGEST_MESSAGE)
    value = detail.get("input")
    if isinstance(value, str | int | float | bool | None) or (
        isinstance(value, list) and len(value) < 10
    ):
        return f"{dotted}: {_cut(repr(value))}: {message}"
    return f"{dotted}: {message}"


def _variant_line(section: str, context: Mapping[str, Any]) -> str:
    """The line for a section whose variant is unknown or not said."""
    key = f"{section}.{str(context['discriminator']).strip(chr(39))}"
    if "tag" not in context:
        return f"{key}: is missing"
    allowed = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
    near = get_close_matches(str(context["tag"]), allowed, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"{key}: {_cut(repr(context['tag']))} is unknown{hint} (allowed: {', '.join(allowed)})"


def _cut(text: str, most: int = _LONGEST_TEXT) -> str:
    """A text that fits into a line, cut where it is very long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
