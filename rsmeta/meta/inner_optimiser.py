"""The inner loop's optimiser: as torch runs it, and as a function that can be differentiated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchopt
from torch import Tensor, nn

from rsmeta.meta.problem import InnerState, Tensors, Trajectory
from rsmeta.recipe import AdamW, InnerLoop, Sgd

_EPSILON_ROOT = 1e-30
"""Under the root of Adam's second moment: without it the derivative at a zero gradient, which
every LoRA down-projection has at its start, is infinite. Too small to change a step."""

_MOMENTS: dict[type[Sgd] | type[AdamW], tuple[str, ...]] = {
    Sgd: ("momentum_buffer",),
    AdamW: ("exp_avg", "exp_avg_sq"),
}


def build_inner_optimiser(
    config: InnerLoop, parameters: Sequence[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimiser of the inner loop."""
    optimiser = config.optimiser
    if isinstance(optimiser, Sgd):
        return torch.optim.SGD(
            parameters,
            lr=config.learning_rate,
            momentum=optimiser.momentum,
            weight_decay=config.weight_decay,
        )
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=(optimiser.beta1, optimiser.beta2),
        eps=optimiser.epsilon,
        weight_decay=config.weight_decay,
    )


def snapshot(
    config: InnerLoop, optimiser: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]
) -> InnerState:
    """Copy parameters and the optimiser's running averages; zeros before its first step."""
    names = _MOMENTS[type(config.optimiser)]

    def copied(parameter: nn.Parameter, name: str) -> Tensor:
        stored = optimiser.state.get(parameter, {}).get(name)
        return torch.zeros_like(parameter) if stored is None else stored.detach().clone()

    counts = (int(optimiser.state.get(p, {}).get("step", 0)) for p in parameters)
    return InnerState(
        parameters=[parameter.detach().clone() for parameter in parameters],
        moments=tuple([copied(parameter, name) for parameter in parameters] for name in names),
        count=max(counts, default=0),
    )


@dataclass(frozen=True)
class DifferentiableOptimiser:
    """The same optimiser by TorchOpt: a step is a function of parameters, moments and gradients.

    Attributes:
        config: Settings of the inner loop.
    """

    config: InnerLoop

    def step(
        self, state: InnerState, gradients: Tensors, learning_rate: float
    ) -> tuple[list[Tensor], tuple[list[Tensor], ...]]:
        """Parameters and moments after one step, with a graph to all that went in."""
        transform = self._transform(learning_rate)
        parameters = list(state.parameters)
        start = transform.init([p.detach() for p in parameters])
        if isinstance(self.config.optimiser, Sgd):
            # TorchOpt's momentum ignores the state it is given in the very first call.
            zeros = [torch.zeros_like(p) for p in parameters]
            transform.update(zeros, start, params=parameters, inplace=False)
        seeded = _with_moments(start, state)
        updates, after = transform.update(list(gradients), seeded, params=parameters, inplace=False)
        moved = [p + update for p, update in zip(parameters, updates, strict=True)]
        return moved, _moments_of(after, state)

    def _transform(self, learning_rate: float) -> Any:
        optimiser = self.config.optimiser
        if isinstance(optimiser, Sgd):
            return torchopt.sgd(
                learning_rate, momentum=optimiser.momentum, weight_decay=self.config.weight_decay
            )
        return torchopt.adamw(
            learning_rate,
            betas=(optimiser.beta1, optimiser.beta2),
            eps=optimiser.epsilon,
            weight_decay=self.config.weight_decay,
            eps_root=_EPSILON_ROOT,
        )

    def influence(self, trajectory: Trajectory) -> list[Tensor]:
        """How far each parameter's end moves against a gradient that acts in every step.

        The sum over the steps k = 1..K of -d theta_K / d g_k with all else held fixed: for SGD with
        momentum mu, sum_k lr_k (1 - mu^k) / (1 - mu), since step k moves by the gradients of the
        steps 1..k; for AdamW the same with its bias-corrected first moment, over the root of the
        second (the adaptation of SAMA, Choe et al. 2023). Weight decay is left out.
        """
        optimiser, rates = self.config.optimiser, [s.learning_rate for s in trajectory.steps]
        decay = optimiser.momentum if isinstance(optimiser, Sgd) else optimiser.beta1
        total, carried = 0.0, 0.0
        for count, rate in enumerate(rates, start=trajectory.start.count + 1):
            carried = decay * carried + 1
            scale = 1.0 if isinstance(optimiser, Sgd) else (1 - decay) / (1 - decay**count)
            total += rate * scale * carried
        if isinstance(optimiser, Sgd):
            return [torch.full_like(p, total) for p in trajectory.end.parameters]
        correction = 1 - optimiser.beta2**trajectory.end.count
        second = trajectory.end.moments[1]
        return [total / ((v / correction).sqrt() + optimiser.epsilon) for v in second]


def _with_moments(state: Any, inner: InnerState) -> Any:
    """TorchOpt's chained state with our moments put in."""
    if hasattr(state, "trace"):
        return state._replace(trace=list(inner.moments[0]))
    if hasattr(state, "mu"):
        return state._replace(
            mu=list(inner.moments[0]),
            nu=list(inner.moments[1]),
            # From an integer count TorchOpt computes the bias correction in float32.
            count=[torch.full_like(c, inner.count, dtype=torch.float64) for c in state.count],
        )
    if type(state) is tuple:
        return tuple(_with_moments(part, inner) for part in state)
    return state


def _moments_of(state: Any, inner: InnerState) -> tuple[list[Tensor], ...]:
    """The moments in TorchOpt's chained state; those of before where it keeps none."""
    for part in state if type(state) is tuple else (state,):
        if hasattr(part, "trace"):
            return (list(part.trace),)
        if hasattr(part, "mu"):
            return (list(part.mu), list(part.nu))
    return tuple(list(moment) for moment in inner.moments)
