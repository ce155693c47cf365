"""Meta-learned parameter-efficient fine-tuning for remote sensing.

What notebooks use is here: `import rsmeta as rs`, then `rs.Recipe`, `rs.finetune`, `rs.load` and so
on. Each is imported when it is first used (PEP 562), and what is slow to import with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsmeta import plot
    from rsmeta.api.calls import (
        compare,
        evaluate,
        evaluate_scene,
        finetune,
        load,
        predict,
        resume,
        simulate,
    )
    from rsmeta.api.inspection import Inspection, inspect
    from rsmeta.api.model import Model
    from rsmeta.api.prediction import Prediction
    from rsmeta.api.recipe import Recipe
    from rsmeta.api.run import Run
    from rsmeta.errors import RsmetaError

__version__ = "0.1.0"

__all__ = [
    "Inspection",
    "Model",
    "Prediction",
    "Recipe",
    "RsmetaError",
    "Run",
    "__version__",
    "compare",
    "evaluate",
    "evaluate_scene",
    "finetune",
    "inspect",
    "load",
    "plot",
    "predict",
    "resume",
    "simulate",
]

_CALLS = (
    "compare",
    "evaluate",
    "evaluate_scene",
    "finetune",
    "load",
    "predict",
    "resume",
    "simulate",
)
_HOMES = dict.fromkeys(_CALLS, "rsmeta.api.calls") | {
    "Inspection": "rsmeta.api.inspection",
    "Model": "rsmeta.api.model",
    "Prediction": "rsmeta.api.prediction",
    "Recipe": "rsmeta.api.recipe",
    "RsmetaError": "rsmeta.errors",
    "Run": "rsmeta.api.run",
    "inspect": "rsmeta.api.inspection",
}


def __getattr__(name: str) -> Any:
    if name == "plot":
        return import_module("rsmeta.plot")
    if name not in _HOMES:
        raise AttributeError(f"module 'rsmeta' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
