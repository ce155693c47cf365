"""The page of all sections and keys of recipes and studies, from their JSON schemas."""

from collections.abc import Iterator, Mapping
from typing import Any

from markdown_table import plain, table
from pydantic import BaseModel

from rsmeta.recipe import Recipe
from rsmeta.study.config import Study

Schema = Mapping[str, Any]

_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minItems": "{} or more",
    "maxItems": "at most {}",
    "minLength": "{} characters or more",
    "minProperties": "{} or more",
    "pattern": "`{}`",
}
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}

_HEAD = """# Recipes

Every section and key of a recipe. This page is made from the code that checks recipes.
`rsmeta schema` prints the same as JSON schema, which editors complete recipes with;
`rsmeta validate RECIPE` checks a recipe. A key that stands nowhere here is an error.

On the command line a key is named with dots: `--set inner.epochs=30`. In a string,
`${NAME:-default}` stands for an environment variable.
"""
_STUDY_HEAD = """# Studies

What `rsmeta study` reads.
"""


def recipe_page() -> str:
    """The page in Markdown."""
    return "\n".join([_HEAD, *_sections(Recipe), _STUDY_HEAD, *_sections(Study)])


def _sections(model: type[BaseModel]) -> Iterator[str]:
    """One heading, text and table for each section, depth first, in the order of the keys."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    waiting, known = [("", model.__name__)], {model.__name__}
    while waiting:
        path, name = waiting.pop(0)
        section = definitions.get(name, schema)
        yield _section(path, name, section, definitions)
        fresh = []
        for key, value in section["properties"].items():
            for found in _sections_of(value, definitions):
                if found not in known:
                    fresh.append((f"{path}.{key}".removeprefix("."), found))
                    known.add(found)
        waiting = fresh + waiting


def _section(path: str, name: str, section: Schema, definitions: Mapping[str, Schema]) -> str:
    required = section.get("required", [])
    rows = [
        [
            f"`{key}`",
            type_of(value, definitions),
            "required" if key in required and "const" not in value else _default(value),
            plain(description_of(value, definitions)),
        ]
        for key, value in section["properties"].items()
    ]
    tag = _tag(section)
    title = (
        f"{name}: all keys"
        if not path
        else f"`{path}`" + (f", `{tag[0]}: {tag[1]}`" if tag else "")
    )
    text = plain(section.get("description", ""))
    head = f"## {title} {{ #{name.lower()} }}\n\n{text}\n"
    return f"{head}\n{table(['key', 'values', 'default', 'meaning'], rows)}\n"


def _tag(section: Schema) -> tuple[str, str] | None:
    """Key and value that choose a section among others."""
    return next(((k, v["const"]) for k, v in section["properties"].items() if "const" in v), None)


def type_of(value: Schema, definitions: Mapping[str, Schema]) -> str:
    """What a key may be: type, allowed values and range, with links to sections."""
    if "$ref" in value:
        (name,) = _references(value)
        if "enum" in definitions[name]:
            return _choices(definitions[name]["enum"])
        tag = _tag(definitions[name])
        return f"[{f'`{tag[1]}`' if tag else name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "prefixItems"):
        if several in value:
            parts = [type_of(part, definitions) for part in value[several] if not _is_null(part)]
            joined = (", " if several == "prefixItems" else " or ").join(parts)
            return f"[{joined}]" if several == "prefixItems" else joined
    return _plain_type(value, definitions)


def _plain_type(value: Schema, definitions: Mapping[str, Schema]) -> str:
    limits = [text.format(value[key]) for key, text in _LIMITS.items() if key in value]
    if "const" in value:
        return _choices([value["const"]])
    if "enum" in value:
        return _choices(value["enum"])
    if value.get("type") == "array":
        kind = f"list of: {type_of(value.get('items', {}), definitions)}"
    elif value.get("type") == "object":
        entry = value.get("additionalProperties")
        entry = entry if isinstance(entry, Mapping) else {}
        kind = f"mapping of names to: {type_of(entry, definitions)}"
    elif _is_null(value):
        return "nothing"
    else:
        kind = "path" if value.get("format") == "path" else _TYPES.get(value.get("type", ""), "any")
    return ", ".join([kind, *limits])


def description_of(value: Schema, definitions: Mapping[str, Schema]) -> str:
    """What a key means; of a key that is a section, the section's own words."""
    if value.get("description"):
        return str(value["description"])
    if "const" in value:
        return "Chooses this section."
    found = _sections_of(value, definitions)
    sections = [definitions[name].get("description", "") for name in found]
    if len(sections) == 1:
        return str(sections[0]).partition("\n")[0]
    tag = value.get("discriminator", {}).get("propertyName")
    return f"One of these, chosen by `{tag}`." if tag else ""


def _default(value: Schema) -> str:
    if "default" not in value:
        return f"`{value['const']}`" if "const" in value else ""
    default = value["default"]
    if default is None:
        return "not set"
    if isinstance(default, Mapping):
        tag = value.get("discriminator", {}).get("propertyName")
        return f"`{default[tag]}`" if tag else "its defaults"
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _sections_of(value: Any, definitions: Mapping[str, Schema]) -> list[str]:
    """Names of the sections that a value may hold."""
    found = [name for name in _references(value) if "properties" in definitions[name]]
    return list(dict.fromkeys(found))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for key, part in value.items():
            if key not in ("default", "discriminator"):
                yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _choices(values: list[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _is_null(value: Schema) -> bool:
    return value.get("type") == "null"
