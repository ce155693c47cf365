"""Recipe sections: the losses of the inner loop."""

from typing import Annotated, Literal

from pydantic import Field

from rsmeta.recipe.section import Section


class CrossEntropy(Section):
    """Plain cross-entropy."""

    name: Literal["cross_entropy"]


class LogitAdjusted(Section):
    """Cross-entropy of logits + tau * log prior (Menon et al. 2021, eq. 10)."""

    name: Literal["logit_adjusted"] = "logit_adjusted"
    tau: float = Field(
        default=1.0, ge=0, description="Weight of the prior; 0: plain cross-entropy."
    )


class BalancedSoftmax(Section):
    """Cross-entropy of a softmax weighted by the class counts (Ren et al. 2020, theorem 1)."""

    name: Literal["balanced_softmax"]


class ClassBalanced(Section):
    """Cross-entropy weighted by the inverse effective number of chips (Cui et al. 2019)."""

    name: Literal["class_balanced"]
    beta: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="0: plain cross-entropy; towards 1: inverse class frequency.",
    )


class Focal(Section):
    """Cross-entropy times (1 - p) ** focusing, p of the true class (Lin et al. 2017, eq. 4)."""

    name: Literal["focal"]
    focusing: float = Field(
        default=2.0, ge=0, description="The paper's gamma; 0: plain cross-entropy."
    )


class Ldam(Section):
    """Margins that grow with a class's rarity, as count ** -1/4 (Cao et al. 2019, section 3.2)."""

    name: Literal["ldam"]
    max_margin: float = Field(
        default=0.5,
        ge=0,
        le=2,
        description="Margin of the rarest class, a difference of cosines; head.scale makes it one "
        "of logits.",
    )


class Lade(Section):
    """Balanced softmax and the Donsker-Varadhan regulariser LADER (Hong et al. 2021)."""

    name: Literal["lade"]
    weight: float = Field(default=0.1, ge=0, description="Of the regulariser; the paper's alpha.")
    penalty: float = Field(
        default=0.1, ge=0, description="Of the regulariser's quadratic term; the paper's lambda."
    )


Loss = Annotated[
    CrossEntropy | LogitAdjusted | BalancedSoftmax | ClassBalanced | Focal | Ldam | Lade,
    Field(discriminator="name"),
]
