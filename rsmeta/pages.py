"""Pages of HTML that open offline: templates, and how values are written on them."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def page_template(name: str, folder: str = "report") -> Template:
    """A template of HTML; what is put into it is escaped, since names are foreign text.

    Args:
        name: Its file.
        folder: The folder of the package that it is in.
    """
    environment = Environment(
        loader=PackageLoader("rsmeta", folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "value": _value, "words": _words}
    return environment.get_template(name)


def inlined(png: bytes) -> str:
    """A PNG as it stands in the address of an image."""
    return b64encode(png).decode("ascii")


def _percent(share: float | None) -> str:
    """A share in percent, a dash where it is undefined."""
    return "–" if share is None or np.isnan(share) else f"{100 * share:.1f} %"


def _value(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{int(value):,}"
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    return ", ".join(map(_value, value)) if isinstance(value, list) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")
