"""The recipe: everything that decides a fine-tuning run, typed and checked before it starts."""

from pathlib import Path

from pydantic import Field, model_validator

from rsmeta.recipe.chip_list import ClassNames, ListData, Photo
from rsmeta.recipe.chips import Clip, OnError, SensorChips
from rsmeta.recipe.cifar100 import Cifar100Data
from rsmeta.recipe.combined import CombinedData
from rsmeta.recipe.data import (
    Augmentation,
    ClassGroups,
    FolderData,
    GeometryName,
    GroupFile,
    LongTail,
    RadiometryName,
    SimulatorData,
    TableData,
)
from rsmeta.recipe.distribution import require_divisible
from rsmeta.recipe.dota import DotaData
from rsmeta.recipe.labelled_scene import LabelledSceneData
from rsmeta.recipe.loggers import LoggerName, Loggers
from rsmeta.recipe.losses import (
    BalancedSoftmax,
    ClassBalanced,
    CrossEntropy,
    Focal,
    Lade,
    Ldam,
    LogitAdjusted,
    Loss,
)
from rsmeta.recipe.packed import PackedData
from rsmeta.recipe.peft import (
    Adapter,
    AdaptFormer,
    AdditiveMethod,
    BitFit,
    BlockSelection,
    BranchPosition,
    FullFineTuning,
    GammaTable,
    LayerNormTuning,
    LinearProbe,
    Lora,
    Peft,
    Position,
    Pruning,
    ScaleShift,
    Scratch,
    Sharing,
    VptDeep,
    VptShallow,
)
from rsmeta.recipe.section import Section
from rsmeta.recipe.sources import Data
from rsmeta.recipe.spectral import Spectral, SpectralMode
from rsmeta.recipe.torchgeo import TorchGeoData
from rsmeta.recipe.training import (
    AdamW,
    BackboneConfig,
    Compute,
    EngineName,
    Head,
    HeadInitialisation,
    InnerLoop,
    OuterLoop,
    Precision,
    SamplingName,
    ScaleSearch,
    Sgd,
)
from rsmeta.recipe.units import Scaling, ToDecibel, Units

__all__ = [
    "AdamW",
    "AdaptFormer",
    "Adapter",
    "AdditiveMethod",
    "Augmentation",
    "BackboneConfig",
    "BalancedSoftmax",
    "BitFit",
    "BlockSelection",
    "BranchPosition",
    "Cifar100Data",
    "ClassBalanced",
    "ClassGroups",
    "ClassNames",
    "Clip",
    "CombinedData",
    "Compute",
    "CrossEntropy",
    "Data",
    "DotaData",
    "EngineName",
    "Focal",
    "FolderData",
    "FullFineTuning",
    "GammaTable",
    "GeometryName",
    "GroupFile",
    "Head",
    "HeadInitialisation",
    "InnerLoop",
    "LabelledSceneData",
    "Lade",
    "LayerNormTuning",
    "Ldam",
    "LinearProbe",
    "ListData",
    "LoggerName",
    "Loggers",
    "LogitAdjusted",
    "LongTail",
    "Lora",
    "Loss",
    "OnError",
    "OuterLoop",
    "PackedData",
    "Peft",
    "Photo",
    "Position",
    "Precision",
    "Pruning",
    "RadiometryName",
    "Recipe",
    "SamplingName",
    "ScaleSearch",
    "ScaleShift",
    "Scaling",
    "Scratch",
    "Section",
    "SensorChips",
    "Sgd",
    "Sharing",
    "SimulatorData",
    "Spectral",
    "SpectralMode",
    "TableData",
    "ToDecibel",
    "TorchGeoData",
    "Units",
    "VptDeep",
    "VptShallow",
]


class Recipe(Section):
    """A fine-tuning run."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Start of the names of its runs."
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="Of everything random; equal seeds give equal runs."
    )
    runs: Path = Field(default=Path("runs"), description="Folder that run folders are made in.")
    data: Data
    augmentation: Augmentation = Augmentation()
    long_tail: ClassGroups = LongTail()
    backbone: BackboneConfig = BackboneConfig()
    peft: Peft = Lora()
    head: Head = Head()
    inner: InnerLoop = InnerLoop()
    outer: OuterLoop = OuterLoop()
    compute: Compute = Compute()
    loggers: Loggers = Field(default=["tensorboard"])

    @model_validator(mode="after")
    def _pretrained_kernel_stays(self) -> "Recipe":
        if isinstance(self.peft, Scratch) and self.backbone.spectral != Spectral():
            raise ValueError(
                "peft.method scratch draws the patch embedding anew, so that backbone.spectral "
                "has no effect; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _same_chip_in_every_epoch(self) -> "Recipe":
        changes = [f"augmentation.{name}" for name in self.augmentation.changes]
        if self.compute.cache_features and changes:
            raise ValueError(
                "compute.cache_features: augmentation changes chips in every epoch; take out "
                f"{', '.join(changes)}, or set cache_features to false"
            )
        return self

    @model_validator(mode="after")
    def _modulators_have_epochs(self) -> "Recipe":
        outer, epochs = self.outer, self.inner.epochs
        if not self.learns_modulators or outer.trial_epochs + outer.final_epochs < epochs:
            return self
        taken = f"outer.final_epochs {outer.final_epochs} leaves"
        if outer.trial_epochs:
            taken = f"outer.scale_search ({outer.trial_epochs} epochs) with {taken}"
        raise ValueError(
            f"{taken} none of inner.epochs {epochs} to learn the modulators in; make it smaller, "
            "or inner.epochs larger"
        )

    @model_validator(mode="after")
    def _class_prior_has_an_outer_loop(self) -> "Recipe":
        prior = self.outer.class_prior
        if prior != "fixed" and not self.learns_modulators:
            raise ValueError(
                f"outer.class_prior {prior}: nothing runs the outer loop; set peft.modulators to "
                "learned (and outer.learning_rate to 0 to leave them as they are), or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _bands_to_drop(self) -> "Recipe":
        if self.augmentation.band_dropout > 0 and len(self.data.selected_bands) == 1:
            raise ValueError(
                "augmentation.band_dropout: the chips have one band, and never all are dropped; "
                "set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _pruning_happens(self) -> "Recipe":
        pruning, epochs = self.pruning, self.inner.epochs
        if pruning is not None and self.outer.scale_search is not None:
            raise ValueError(
                "peft.pruning drops sites for good, also those that a trial of outer.scale_search "
                "was bad for; leave one out"
            )
        if pruning is not None and pruning.events(epochs) == 0:
            raise ValueError(
                f"peft.pruning.every {pruning.every} leaves no pruning event before the end of "
                f"inner.epochs {epochs}; make it smaller than the number of epochs"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_find_a_scale(self) -> "Recipe":
        if not isinstance(self.peft, AdditiveMethod) or self.peft.stability is None:
            return self
        if not isinstance(self.inner.optimiser, Sgd):
            raise ValueError(
                "peft.stability: what is stable is known for inner.optimiser sgd alone; set it, or "
                "leave peft.stability out"
            )
        if self.learns_modulators and self.outer.scale_search is not None:
            raise ValueError(
                "peft.stability and outer.scale_search both find how large modulators start; leave "
                "one out"
            )
        return self

    @model_validator(mode="after")
    def _batches_can_be_shared_out(self) -> "Recipe":
        require_divisible(self.compute, self.inner, self.outer, self.learns_modulators)
        return self

    @property
    def pruning(self) -> Pruning | None:
        """How sites are dropped while training; None where they are not."""
        return self.peft.pruning if isinstance(self.peft, AdditiveMethod) else None

    @property
    def learns_modulators(self) -> bool:
        """Whether the outer loop runs."""
        return isinstance(self.peft, AdditiveMethod) and self.peft.modulators == "learned"
