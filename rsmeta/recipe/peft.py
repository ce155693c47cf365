"""Recipe sections: the methods of parameter-efficient fine-tuning."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from rsmeta.recipe.section import Section

_LAST_BLOCKS = re.compile(r"last:[1-9][0-9]*")


class Position(StrEnum):
    """Linear layers of a transformer block that LoRA may sit at."""

    Q = "q"
    K = "k"
    V = "v"
    OUT = "out"
    FC1 = "fc1"
    FC2 = "fc2"


class BranchPosition(StrEnum):
    """Branches of a transformer block that an adapter may sit at."""

    ATTN = "attn"
    MLP = "mlp"


BlockSelection = str | list[int]
"""`all`, `last:N`, or block indexes counted from the input."""


def _each_once(positions: list[Any]) -> list[Any]:
    if len(set(positions)) != len(positions):
        raise ValueError("a position stands twice; name each position once")
    return positions


class _InBlocks(Section):
    blocks: BlockSelection = Field(default="all", description="all | [3, 4, 5] | last:4")

    @field_validator("blocks", mode="before")
    @classmethod
    def _known_blocks(cls, blocks: Any) -> Any:
        named = isinstance(blocks, str) and (blocks == "all" or _LAST_BLOCKS.fullmatch(blocks))
        listed = isinstance(blocks, list) and all(type(b) is int and b >= 0 for b in blocks)
        if not named and not (listed and blocks and len(set(blocks)) == len(blocks)):
            raise ValueError("allowed: all, last:N or a list of block indexes >= 0, each once")
        return blocks


class Pruning(Section):
    """Dropping of sites while training, those whose updates contribute least.

    The number of sites falls geometrically from event to event; there is none after the last epoch.
    """

    every: int = Field(default=2, ge=1, description="Epochs between two pruning events.")
    keep: float = Field(
        default=0.5, gt=0, le=1, description="Share of the sites that the last event leaves."
    )

    def events(self, epochs: int) -> int:
        """Number of pruning events in a training of so many epochs."""
        return (epochs - 1) // self.every


class GammaTable(Section):
    """Modulators that another run has learned, e.g. to train with them fixed."""

    file: Path = Field(description="modulators.csv of the other run.")
    pattern: Literal["learned", "mean", "shuffled"] = Field(
        default="learned",
        description="learned: each where it was; mean: their mean everywhere; shuffled: the same "
        "values at other sites, which tells whether the pattern matters.",
    )


Sharing = Literal["none", "block", "position", "all"]


class AdditiveMethod(_InBlocks):
    """Methods that add gamma * adapter(x) at sites: one modulator per block and position."""

    modulators: Literal["fixed", "learned"] = Field(
        default="learned", description="learned: MetaPEFT, by the outer loop; fixed: plain PEFT."
    )
    gamma: float = Field(default=1.0, gt=0, description="Value of all modulators at the start.")
    gamma_from: GammaTable | None = Field(
        default=None, description="Start values of the modulators from another run, instead."
    )
    stability: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="Scale all modulators at the start to this share of what the first "
        "steps of SGD bear: at 1 the largest curvature of the loss in the adapters is "
        "2 (1 + momentum) / learning_rate. Default: they stay as large as they are.",
    )
    largest_scale: float | None = Field(
        default=None,
        gt=0,
        description="With stability: modulators start at most this many times as large as they "
        "are. What the first steps bear can be more than a whole training does. Default: any.",
    )
    sharing: Sharing = Field(
        default="none",
        description="Which sites share one modulator: none; those of a block, of a position, all.",
    )
    pruning: Pruning | None = Field(
        default=None, description="Drop sites while training; default: keep all."
    )

    @model_validator(mode="after")
    def _one_start(self) -> "AdditiveMethod":
        if self.gamma_from is not None and self.gamma != 1:
            raise ValueError(
                f"gamma {self.gamma:g} and gamma_from both say where modulators start; "
                "leave one out"
            )
        if self.stability is not None and self.gamma != 1:
            raise ValueError(
                f"gamma {self.gamma:g} and stability both say how large modulators start; "
                "leave one out"
            )
        if self.largest_scale is not None and self.stability is None:
            raise ValueError(
                "largest_scale has no effect without stability, which it bounds; set both or "
                "neither"
            )
        return self


class Lora(AdditiveMethod):
    """Low-rank adaptation (Hu et al. 2021)."""

    method: Literal["lora"] = "lora"
    positions: Annotated[list[Position], Field(min_length=1), AfterValidator(_each_once)] = Field(
        default=list(Position), description="Linear layers of a block that get an update."
    )
    rank: int = Field(default=8, ge=1, description="Rank of each update.")
    alpha: float | None = Field(default=None, gt=0, description="Default: the rank.")
    scaling: Literal["standard", "rank_stabilized"] = Field(
        default="standard",
        description="standard: alpha / rank; rank_stabilized: alpha / sqrt(rank) (rsLoRA).",
    )

    @property
    def scale(self) -> float:
        """The constant factor of every update, beside gamma."""
        alpha = self.rank if self.alpha is None else self.alpha
        return alpha / (self.rank if self.scaling == "standard" else self.rank**0.5)


class Adapter(AdditiveMethod):
    """Bottlenecks in series after the branches of a block (Houlsby et al. 2019)."""

    method: Literal["adapter"] = "adapter"
    positions: Annotated[list[BranchPosition], Field(min_length=1), AfterValidator(_each_once)] = (
        Field(default=list(BranchPosition), description="Branches that get an adapter.")
    )
    rank: int = Field(default=8, ge=1, description="Width of the bottleneck.")


class AdaptFormer(AdditiveMethod):
    """Bottlenecks parallel to the MLP branch of a block (Chen et al. 2022)."""

    method: Literal["adaptformer"] = "adaptformer"
    rank: int = Field(default=8, ge=1, description="Width of the bottleneck.")


class LinearProbe(Section):
    """Only the head is trained."""

    method: Literal["linear_probe"] = "linear_probe"


class BitFit(_InBlocks):
    """All biases are trained (Ben Zaken et al. 2022)."""

    method: Literal["bitfit"] = "bitfit"


class LayerNormTuning(_InBlocks):
    """Weights and biases of the normalisations are trained."""

    method: Literal["layer_norm"] = "layer_norm"


class ScaleShift(_InBlocks):
    """A scale and a shift after every layer (SSF, Lian et al. 2022)."""

    method: Literal["ssf"] = "ssf"


class VptShallow(Section):
    """Visual prompts before the first block (Jia et al. 2022)."""

    method: Literal["vpt_shallow"] = "vpt_shallow"
    prompts: int = Field(default=8, ge=1, description="Number of prompt tokens.")


class VptDeep(_InBlocks):
    """Fresh visual prompts at every block (Jia et al. 2022)."""

    method: Literal["vpt_deep"] = "vpt_deep"
    prompts: int = Field(default=8, ge=1, description="Number of prompt tokens a block.")


class FullFineTuning(_InBlocks):
    """All weights of the chosen blocks are trained; with all blocks, the whole backbone."""

    method: Literal["full"] = "full"


class Scratch(Section):
    """The whole backbone is trained from random weights: what pretraining is worth."""

    method: Literal["scratch"] = "scratch"


Peft = Annotated[
    Lora
    | Adapter
    | AdaptFormer
    | LinearProbe
    | BitFit
    | LayerNormTuning
    | ScaleShift
    | VptShallow
    | VptDeep
    | FullFineTuning
    | Scratch,
    Field(discriminator="method"),
]
