"""The registry of hypergradient engines."""

from collections.abc import Callable

from rsmeta.meta.finite_difference import FiniteDifference
from rsmeta.meta.first_order import first_order
from rsmeta.meta.inner_optimiser import DifferentiableOptimiser
from rsmeta.meta.problem import HypergradientEngine
from rsmeta.meta.unrolled import Unrolled
from rsmeta.recipe import EngineName, InnerLoop

ENGINES: dict[EngineName, Callable[[DifferentiableOptimiser], HypergradientEngine]] = {
    "first_order": lambda optimiser: first_order,
    "finite_difference": FiniteDifference,
    "unrolled": Unrolled,
}


def build_engine(name: EngineName, inner: InnerLoop) -> HypergradientEngine:
    """The engine of a recipe.

    Args:
        name: Its name.
        inner: Settings of the inner loop, which the engine may have to differentiate.
    """
    return ENGINES[name](DifferentiableOptimiser(inner))
