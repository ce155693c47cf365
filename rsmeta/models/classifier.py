"""The whole model: chips in physical units in, class logits out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from rsmeta.bands import Band
from rsmeta.data.statistics import BandStatistics
from rsmeta.models.attention import attention_layers, choose_attention
from rsmeta.models.backbones import build_backbone
from rsmeta.models.band_training import band_training, check_start, unread_bands
from rsmeta.models.frozen_prefix import features_of, frozen_blocks, tokens_of
from rsmeta.models.heads import CosineHead
from rsmeta.peft.methods import adapt, plan
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.plan_table import plan_table
from rsmeta.peft.sites import AnySite, PlannedSite
from rsmeta.recipe import Recipe

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class ChipClassifier(nn.Module):
    """Normalisation, adapted backbone and head.

    Args:
        backbone: Frozen ViT with its adapters attached.
        bank: Modulators of the adapters, or None for a method without.
        head: Classification head.
        statistics: Statistics that normalise the bands.
        precision: `float32`, or `bfloat16` for the matmuls of the backbone.
    """

    mean: Tensor
    std: Tensor
    low: Tensor | None
    high: Tensor | None

    def __init__(
        self,
        backbone: VisionTransformer,
        bank: ModulatorBank | None,
        head: CosineHead,
        statistics: BandStatistics,
        precision: str,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.modulators = bank
        self.head = head
        self._dtype = _PRECISIONS[precision]
        self._frozen = frozen_blocks(backbone)
        self._attention = attention_layers(backbone)
        shape = (1, -1, 1, 1)
        limits = statistics.limits
        low, high = (None, None) if limits is None else (limits.low, limits.high)
        buffers = {"mean": statistics.mean, "std": statistics.std, "low": low, "high": high}
        for name, values in buffers.items():
            tensor = None if values is None else torch.tensor(values).view(shape)
            self.register_buffer(name, tensor, persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Clip images (batch, bands, height, width), where that was asked for, and normalise."""
        if self.low is not None:
            images = images.clamp(self.low, self.high)
        return (images - self.mean) / self.std

    def features(self, images: Tensor) -> Tensor:
        """Map images (batch, bands, size, size) to features (batch, width)."""
        with self._autocast(images):
            features: Tensor = self.backbone(self.normalise(images))
        return features

    def frozen_tokens(self, images: Tensor) -> Tensor:
        """Map images to the input of the first trained block, (batch, tokens, width)."""
        with self._autocast(images):
            return tokens_of(self.backbone, self._frozen, self.normalise(images))

    def features_from_tokens(self, tokens: Tensor) -> Tensor:
        """Map what `frozen_tokens` gives to features (batch, width)."""
        with self._autocast(tokens):
            return features_of(self.backbone, self._frozen, tokens)

    def forward(self, inputs: Tensor, from_tokens: bool = False) -> Tensor:
        """Compute logits (batch, classes).

        Args:
            inputs: Images (batch, bands, size, size) in physical units, or what `frozen_tokens`
                made of them.
            from_tokens: Which of the two they are.
        """
        features = self.features_from_tokens(inputs) if from_tokens else self.features(inputs)
        logits: Tensor = self.head(features)
        return logits

    def _autocast(self, inputs: Tensor) -> torch.autocast:
        low = self._dtype != torch.float32
        choose_attention(self._attention, inputs, low, self.backbone.patch_embed.num_patches)
        return torch.autocast(inputs.device.type, dtype=self._dtype, enabled=low)

    def inner_parameters(self) -> list[nn.Parameter]:
        """What the inner loop trains: adapters and head, but not what the outer loop learns."""
        named = dict(self.named_parameters())
        return [named[name] for name in self.inner_names()]

    def inner_names(self) -> list[str]:
        """Names of the inner parameters, in the same order."""
        outer = {"modulators.rho", "head.shift"}
        return [n for n, p in self.named_parameters() if p.requires_grad and n not in outer]

    def store_frozen_low(self) -> None:
        """Keep frozen matmul tensors in the precision of the matmuls, in place.

        Autocast would cast them anew in every step. What trains stays in float32.
        """
        for module in self.backbone.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                # One by one: BitFit trains the bias, in float32, of a weight that stays frozen.
                for parameter in module.parameters(recurse=False):
                    if not parameter.requires_grad:
                        parameter.data = parameter.data.to(self._dtype)

    def trained_state(self) -> dict[str, Tensor]:
        """All that training may change: adapters, head, modulators. What is frozen is not in it."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        trained |= {"modulators.rho"} if self.modulators is not None else set()
        return {name: t.detach() for name, t in self.state_dict().items() if name in trained}


@dataclass(frozen=True)
class BuiltModel:
    """A classifier before training, what was put where, and what it stands on.

    Attributes:
        classifier: The model.
        plan: What is put where.
        backbone_sha256: Digest of the pretrained weights.
        backbone_parameters: Parameters of the backbone without what the method adds.
        unread_bands: Names of the bands that the model does not see.
    """

    classifier: ChipClassifier
    plan: list[PlannedSite]
    backbone_sha256: str
    backbone_parameters: int
    unread_bands: list[str]

    def plan_table(self) -> Table:
        """The plan for the terminal."""
        bank, head = self.classifier.modulators, self.classifier.head
        learned = bank.rho.numel() if bank is not None and bank.rho.requires_grad else 0
        return plan_table(self.plan, head.weight.numel(), learned)


def build_classifier(
    recipe: Recipe,
    bands: Sequence[Band],
    classes: int,
    statistics: BandStatistics,
    kept: Collection[AnySite] | None = None,
) -> BuiltModel:
    """Build the untrained classifier of a recipe: frozen backbone, adapters, head.

    Args:
        recipe: The recipe.
        bands: Bands of the chips, in order.
        classes: Number of classes.
        statistics: Statistics that normalise the bands.
        kept: The sites that pruning left; None for all of the recipe's.

    Raises:
        BackboneError: The backbone cannot be loaded.
        RecipeError: The recipe names sites that the backbone does not have, or all kernels of
            the bands are zero and stay so.
    """
    config = recipe.backbone
    backbone = build_backbone(
        config.name, config.file, config.image_size, bands, config.spectral, recipe.seed
    )
    backbone_parameters = sum(p.numel() for p in backbone.model.parameters())
    training = band_training(config.spectral, bands, backbone.spectral)
    lines = plan(recipe.peft, backbone.model, kept, training)
    bank = adapt(recipe.peft, backbone.model, kept, training)
    check_start(recipe, backbone.model)
    shifted = recipe.outer.class_prior != "fixed"
    width = backbone.model.num_features
    head = CosineHead(width, classes, recipe.head.scale, shifted=shifted)
    classifier = ChipClassifier(backbone.model, bank, head, statistics, recipe.compute.precision)
    unread = unread_bands(config.spectral, bands, backbone.model)
    return BuiltModel(classifier, lines, backbone.sha256, backbone_parameters, unread)
