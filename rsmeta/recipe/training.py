"""Recipe sections: backbone, head, the two loops and where they run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rsmeta.recipe.losses import Lade, LogitAdjusted, Loss
from rsmeta.recipe.section import Section
from rsmeta.recipe.spectral import Spectral


class BackboneConfig(Section):
    """The pretrained vision transformer."""

    name: str = Field(
        default="embedded",
        description="embedded | timm:ARCHITECTURE | torchgeo:WEIGHTS",
        examples=["embedded", "timm:vit_base_patch16_224.augreg_in21k"],
    )
    file: Path | None = Field(
        default=None, description="Weights in timm's layout, instead of a download."
    )
    image_size: int = Field(
        default=64, gt=0, le=1024, description="Chips are resized to this side in pixels."
    )
    spectral: Spectral = Spectral()


HeadInitialisation = Literal["class_mean", "linear_probe", "random"]


class Head(Section):
    """Cosine classifier."""

    scale: float = Field(default=30.0, gt=0, description="Logits per unit of cosine.")
    initialisation: HeadInitialisation = Field(
        default="class_mean",
        description="Where the weights start: at the class means of the frozen features, at the "
        "best classifier of the frozen features by the inner loss, or at random.",
    )


class Sgd(Section):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""

    name: Literal["sgd"] = "sgd"
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="Share of the step before that is kept; 0: none."
    )


class AdamW(Section):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"]
    beta1: float = Field(
        default=0.9, ge=0, lt=1, description="Decay of the running mean of the gradients."
    )
    beta2: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the running mean of their squares."
    )
    epsilon: float = Field(
        default=1e-8, gt=0, description="Added to the root of that mean, which divides the step."
    )

    @model_validator(mode="after")
    def _steps_have_a_bound(self) -> "AdamW":
        # The mean of beta2 must not forget a large gradient before that of beta1 does: steps are
        # their quotient.
        if 0 < self.beta1**2 >= self.beta2:
            raise ValueError(
                f"beta2 {self.beta2:g} is too small beside beta1 {self.beta1:g}: steps would have "
                f"no bound; make it larger than the square of beta1, {self.beta1**2:.3g}"
            )
        return self


SamplingName = Literal["all", "class_balanced", "square_root", "effective_number"]


class InnerLoop(Section):
    """Training of the adapters and the head."""

    epochs: int = Field(default=12, ge=1, description="Passes over the inner part of the chips.")
    batch_size: int = Field(default=32, ge=1, description="Chips that a step sees.")
    accumulate: int = Field(
        default=1,
        ge=1,
        description="Parts that each batch is passed through the model in, to save memory. The "
        "gradients are those of the whole batch.",
    )
    optimiser: Annotated[Sgd | AdamW, Field(discriminator="name")] = Sgd()
    learning_rate: float = Field(default=0.01, gt=0, description="Falls to 0 along a cosine.")
    warm_up: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of all steps in which the learning rate rises to its full height. With "
        "large scales of the adapters, training can collapse without.",
    )
    weight_decay: float = Field(
        default=5e-4, ge=0, description="Pull of the adapters and the head towards 0."
    )
    loss: Loss = LogitAdjusted()
    sampling: SamplingName = Field(
        default="all",
        description="How an epoch's chips are drawn. all: each once; class_balanced: classes "
        "alike; square_root: classes by the root of their size; effective_number: between all and "
        "class_balanced, by sampling_beta. The length of an epoch is the same.",
    )
    sampling_beta: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="With effective_number: 0 is all, towards 1 class_balanced; default: 0.999.",
    )

    @model_validator(mode="after")
    def _beta_needs_effective_number(self) -> "InnerLoop":
        if self.sampling_beta is not None and self.sampling != "effective_number":
            raise ValueError(
                "sampling_beta has no effect without sampling effective_number; set both or neither"
            )
        return self

    @model_validator(mode="after")
    def _parts_of_a_mean(self) -> "InnerLoop":
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate {self.accumulate} is more than batch_size {self.batch_size}: a part "
                "has at least one chip"
            )
        if self.accumulate > 1 and isinstance(self.loss, Lade):
            raise ValueError(
                "accumulate: the loss lade compares the chips of a batch, so that it is not the "
                "mean over its parts; set accumulate to 1 or choose another loss"
            )
        return self

    @property
    def effective_number_beta(self) -> float:
        """Beta of the effective number, where it is used."""
        return 0.999 if self.sampling_beta is None else self.sampling_beta


EngineName = Literal["first_order", "finite_difference", "unrolled"]


class ScaleSearch(Section):
    """Trials of the scale that the outer loop starts from: each factor is trained with from anew.

    Training goes on from the factor whose trial ends with the smallest class-balanced loss of the
    chips that are held out, divided by `caution`. A hypergradient cannot see that far: what a scale
    does for a step is not what it does for a training.
    """

    factors: list[float] = Field(
        default=[0.25, 0.5, 1.0, 2.0, 4.0],
        description="Of the modulators' start value, tried in this order.",
    )
    epochs: int = Field(default=2, ge=1, description="Length of each trial, of inner.epochs.")
    caution: float = Field(
        default=2.0,
        ge=1,
        description="What the best factor is divided by: short trials favour larger scales than a "
        "whole training bears.",
    )

    @field_validator("factors")
    @classmethod
    def _several(cls, factors: list[float]) -> list[float]:
        if len(factors) < 2 or min(factors) <= 0 or len(set(factors)) < len(factors):
            raise ValueError("factors need to be two or more different numbers above 0")
        return factors

    @property
    def all_epochs(self) -> int:
        """Length of all trials."""
        return len(self.factors) * self.epochs


class OuterLoop(Section):
    """Learning of the modulators; without effect where they are fixed."""

    engine: EngineName = Field(
        default="first_order",
        description="first_order: the paper's rule; finite_difference: with the effect on the "
        "adapters, by first-order passes; unrolled: exact, through all steps since the last one.",
    )
    every: int = Field(default=4, ge=1, description="Inner steps between two outer steps.")
    learning_rate: float = Field(
        default=0.05, ge=0, description="Of Adam, on rho; 0: the modulators stay at their start."
    )
    fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the training chips kept for validation."
    )
    most_per_class: int | None = Field(
        default=None,
        ge=1,
        description="Most chips of a class that are kept for validation, so that frequent classes, "
        "which a balanced batch draws no more often than others, lose few; default: any number.",
    )
    held_out: bool = Field(
        default=True,
        description="false: no split; the outer loop draws from the chips of the inner one, the "
        "control that tells what the split is worth.",
    )
    resample: Literal["epoch", "never"] = Field(
        default="epoch", description="When the validation chips are drawn afresh."
    )
    final_epochs: int = Field(
        default=0,
        ge=0,
        description="The last epochs keep the modulators as they are, and train on all chips.",
    )
    restart: bool = Field(
        default=False,
        description="Adapters and head start anew in the final epochs, with what was learned: the "
        "epochs before were the search, and these are a whole training.",
    )
    scale_search: ScaleSearch | None = Field(
        default=None,
        description="Try scales before the outer loop begins, in the first of inner.epochs; "
        "default: it begins from the modulators' start value.",
    )
    balanced: bool = Field(default=True, description="Sample validation chips class-balanced.")
    class_prior: Literal["fixed", "learned", "fitted"] = Field(
        default="fixed",
        description="How far predictions hold frequent classes back: fixed: as far as the inner "
        "loss taught the head; learned: a modulator, too; fitted: by what fits the validation "
        "chips best when the modulators are learned.",
    )
    class_prior_learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Of Adam, on the strength of a learned class prior; default: 0.05.",
    )
    class_prior_tolerance: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="With fitted: share that the loss of the validation chips may be above its "
        "smallest for the sake of rare classes; the prior is the strongest with such a loss.",
    )
    batch_size: int = Field(
        default=16, ge=1, description="Half of the inner one, which keeps the outer loop cheap."
    )
    batches: int = Field(default=1, ge=1, description="Validation batches averaged a step.")
    clip: float | None = Field(
        default=None, gt=0, description="Largest norm of the hypergradient; default: any."
    )
    margin: float = Field(
        default=1.0,
        gt=0,
        description="An outer step is skipped while the validation loss is this much above its "
        "running mean.",
    )

    @model_validator(mode="after")
    def _most_of_a_split(self) -> "OuterLoop":
        if self.most_per_class is not None and not self.held_out:
            raise ValueError(
                "most_per_class has no effect without held_out: no chips are kept for validation; "
                "leave one out"
            )
        return self

    @model_validator(mode="after")
    def _restart_has_epochs(self) -> "OuterLoop":
        if self.restart and self.final_epochs == 0:
            raise ValueError(
                "restart has no effect without final_epochs, which start anew; set both or neither"
            )
        return self

    @model_validator(mode="after")
    def _fit_needs_a_split(self) -> "OuterLoop":
        if self.class_prior == "fitted" and not self.held_out:
            raise ValueError(
                "class_prior fitted needs chips that are held out, or it is fitted to chips that "
                "the model knows; leave held_out true, or choose another class_prior"
            )
        return self

    @model_validator(mode="after")
    def _trials_need_a_split(self) -> "OuterLoop":
        if self.scale_search is not None and not (self.held_out and self.resample == "never"):
            raise ValueError(
                "scale_search needs chips that train in no trial; set held_out to true and "
                "resample to never"
            )
        return self

    @model_validator(mode="after")
    def _rate_needs_a_learned_prior(self) -> "OuterLoop":
        if self.class_prior_learning_rate is not None and self.class_prior != "learned":
            raise ValueError(
                "class_prior_learning_rate has no effect without class_prior learned; set both or "
                "neither"
            )
        return self

    @model_validator(mode="after")
    def _tolerance_needs_a_fitted_prior(self) -> "OuterLoop":
        if self.class_prior_tolerance > 0 and self.class_prior != "fitted":
            raise ValueError(
                "class_prior_tolerance has no effect without class_prior fitted; set both or "
                "neither"
            )
        return self

    @property
    def trial_epochs(self) -> int:
        """Epochs before the modulators are learned, in which scales are tried."""
        return 0 if self.scale_search is None else self.scale_search.all_epochs

    @property
    def prior_learning_rate(self) -> float:
        """Learning rate of the class prior, where it is learned."""
        return 0.05 if self.class_prior_learning_rate is None else self.class_prior_learning_rate


Precision = Literal["float32", "bfloat16"]


class Compute(Section):
    """Where and in which precision to compute."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        default="auto", description="auto: a GPU where there is one."
    )
    devices: int = Field(
        default=1,
        ge=1,
        description="Devices, or processes of the CPU, a node. Batches are shared out among them.",
    )
    num_nodes: int = Field(default=1, ge=1, description="Machines, under torchrun or SLURM.")
    precision: Precision = Field(
        default="float32",
        description="bfloat16: of the backbone; trained weights and modulators stay float32.",
    )
    cache_features: bool = Field(
        default=False,
        description="Compute what comes before the first trained block once a chip instead of "
        "in every step; needs augmentation off, and chips x tokens x width x 4 bytes of memory.",
    )
    checkpoint_activations: bool = Field(
        default=False,
        description="Compute the blocks a second time on the way back instead of keeping their "
        "activations, in the inner loop: less memory, a third more time, the same gradients.",
    )
    checkpoint_every: int | None = Field(
        default=None,
        ge=1,
        description="Inner steps between two checkpoints within an epoch, for epochs that take "
        "hours; default: one at the start of each epoch. At the next outer step where it falls "
        "between two.",
    )

    @property
    def processes(self) -> int:
        """Number of processes that train together."""
        return self.devices * self.num_nodes
