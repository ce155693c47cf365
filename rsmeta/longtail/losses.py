"""Training losses for long-tailed classes, built from a recipe section and the class counts.

All of them are means over the batch and judge raw logits: what a loss adds to them during training
(a prior, a margin) is its own business and is absent from predictions. The logits are those of the
cosine head, `scale` times a cosine. Constants of the class counts are kept in float64 and cast to
the type and device of the logits, so a loss computes in whatever precision it is given.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rsmeta.recipe import (
    BalancedSoftmax,
    ClassBalanced,
    CrossEntropy,
    Focal,
    Head,
    Lade,
    Ldam,
    LogitAdjusted,
    Loss,
    Section,
)

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (batch, classes) and labels (batch,) to a scalar loss."""


def build_loss(config: Loss, counts: NDArray[np.int64], scale: float = Head().scale) -> Criterion:
    """The loss of a recipe.

    Args:
        config: Recipe section.
        counts: Training chips of each class, (classes,), all > 0.
        scale: Logits per unit of cosine: `scale` of the head.
    """
    return LOSSES[type(config)](config, counts, scale)


def log_prior(counts: NDArray[np.int64]) -> Tensor:
    """Logarithm of the class shares, (classes,), float64."""
    return torch.from_numpy(counts / counts.sum()).log()


def logit_adjusted(tau: float, counts: NDArray[np.int64]) -> Criterion:
    """Cross-entropy of f_y(x) + tau * log pi_y, pi the class shares (Menon et al. 2021, eq. 10)."""
    adjustment = tau * log_prior(counts)

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits + adjustment.to(logits), labels)

    return criterion


def balanced_softmax(counts: NDArray[np.int64]) -> Criterion:
    """Cross-entropy of the shares n_j exp(f_j) / sum_i n_i exp(f_i) (Ren et al. 2020, theorem 1).

    Class shares in the place of the counts n cancel out, so this is `logit_adjusted` at tau = 1.
    """
    return logit_adjusted(1.0, counts)


def class_balanced(beta: float, counts: NDArray[np.int64]) -> Criterion:
    """Cross-entropy times 1 / E_n of the true class (Cui et al. 2019, section 4.1).

    E_n = (1 - beta^n) / (1 - beta) is the effective number of n chips (proposition 1). The weights
    are scaled to sum to the number of classes (section 4), and the batch is averaged plainly: it is
    not divided by the sum of its weights, as `torch.nn.functional.cross_entropy` would do.

    Args:
        beta: 0: every class weighs 1; towards 1: inverse class frequency.
        counts: Training chips of each class, (classes,), all > 0.
    """
    log_beta = torch.log1p(torch.tensor(beta - 1.0, dtype=torch.float64))  # -inf at beta = 0
    inverse = -1 / torch.expm1(torch.from_numpy(counts).double() * log_beta)  # 1 - beta cancels out
    weights = len(counts) * inverse / inverse.sum()

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (weights.to(logits)[labels] * losses).mean()

    return criterion


def focal(focusing: float) -> Criterion:
    """-(1 - p)^focusing * log p, p the probability of the true class (Lin et al. 2017, eq. 4).

    The paper's p is a sigmoid's; here it is the softmax's, as usual for exclusive classes, and
    without the paper's alpha: `class_balanced` weighs classes. log(1 - p) comes from the logits of
    the other classes, so that neither it nor its gradient breaks down where p rounds to 1.

    Args:
        focusing: The paper's gamma (no relation to the modulators); 0 gives cross-entropy.
    """

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        log_shares = logits.log_softmax(dim=-1)
        truth = F.one_hot(labels, logits.shape[-1]).bool()
        log_others = log_shares.masked_fill(truth, -math.inf).logsumexp(dim=-1)  # log(1 - p)
        losses = F.nll_loss(log_shares, labels, reduction="none")
        return ((focusing * log_others).exp() * losses).mean()

    return criterion


def ldam(max_margin: float, counts: NDArray[np.int64], scale: float) -> Criterion:
    """Cross-entropy after a margin is taken off the true class's logit (Cao et al. 2019, sec. 3.2).

    The margin of class j is C / n_j^(1/4); C makes that of the rarest class `max_margin`. The paper
    subtracts it from a cosine and multiplies all cosines by s afterwards. The logits here are
    already s times a cosine, so it is s times the margin that is subtracted, and nothing is
    multiplied a second time.

    Args:
        max_margin: Margin of the rarest class as a difference of cosines.
        counts: Training chips of each class, (classes,), all > 0.
        scale: The paper's s: logits per unit of cosine.
    """
    relative = torch.from_numpy((counts.min() / counts) ** 0.25)
    margins = scale * max_margin * relative  # in logits

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        truth = F.one_hot(labels, logits.shape[-1])
        return F.cross_entropy(logits - truth * margins.to(logits), labels)

    return criterion


def lade(weight: float, penalty: float, counts: NDArray[np.int64]) -> Criterion:
    """Label distribution disentangling: L_LADE-CE + weight * L_LADER (Hong et al. 2021).

    L_LADE-CE is the balanced softmax; predictions for equally frequent classes (the paper's
    post-compensated softmax at a uniform target) are then the softmax of the raw logits.

    Args:
        weight: The paper's alpha.
        penalty: The paper's lambda.
        counts: Training chips of each class, (classes,), all > 0.
    """
    balanced, regulariser = balanced_softmax(counts), lader(penalty, counts)

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        return balanced(logits, labels) + weight * regulariser(logits, labels)

    return criterion


def lader(penalty: float, counts: NDArray[np.int64]) -> Criterion:
    """The regulariser of `lade`: draws logit c to log p(x|c) / p_u(x), p_u with classes equal.

    That ratio maximises the Donsker-Varadhan bound E_p(x|c)[f_c] - log E_p_u(x)[exp f_c]; a
    quadratic penalty pins the second term to 0. For class c and a batch of N chips, N_c of them of
    class c, with p_u(y) = 1 / classes and p_s(y) the class shares,

        L_c = -1/N_c sum_{y_i = c} f_c(x_i) + log Z_c + penalty * (log Z_c)^2,
        Z_c = 1/N sum_i p_u(y_i) / p_s(y_i) * exp f_c(x_i),

    and the loss is sum_c p_s(c) L_c. The importance weights are those of each chip's own class, as
    importance sampling demands; the authors' code takes those of class c. A class that the batch
    lacks has no estimate of its first term and adds nothing; the authors' code keeps its second
    term, which would push down the logits of rare classes in most batches.

    Args:
        penalty: Factor of the quadratic term, the paper's lambda.
        counts: Training chips of each class, (classes,), all > 0.
    """
    log_shares = log_prior(counts)
    log_importance = -log_shares - math.log(len(counts))

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        members = F.one_hot(labels, logits.shape[-1])  # (batch, classes)
        chips = members.sum(dim=0)  # (classes,)
        own = (members * logits).sum(dim=0) / chips.clamp(min=1)
        weighted = logits + log_importance.to(logits)[labels, None]
        log_z = weighted.logsumexp(dim=0) - math.log(len(labels))
        losses = log_z - own + penalty * log_z**2
        return (log_shares.exp().to(logits) * (chips > 0) * losses).sum()

    return criterion


LOSSES: dict[type[Section], Callable[..., Criterion]] = {
    CrossEntropy: lambda config, counts, scale: F.cross_entropy,
    LogitAdjusted: lambda config, counts, scale: logit_adjusted(config.tau, counts),
    BalancedSoftmax: lambda config, counts, scale: balanced_softmax(counts),
    ClassBalanced: lambda config, counts, scale: class_balanced(config.beta, counts),
    Focal: lambda config, counts, scale: focal(config.focusing),
    Ldam: lambda config, counts, scale: ldam(config.max_margin, counts, scale),
    Lade: lambda config, counts, scale: lade(config.weight, config.penalty, counts),
}
