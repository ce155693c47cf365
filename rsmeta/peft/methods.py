"""The registry of methods: how each plans what it trains and enters a frozen backbone."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from timm.models.vision_transformer import VisionTransformer

from rsmeta import recipe
from rsmeta.peft.adapter import attach_adapter, plan_adapter
from rsmeta.peft.adaptformer import attach_adaptformer, plan_adaptformer
from rsmeta.peft.band_kernels import BandTraining, attach_bands, plan_bands
from rsmeta.peft.bitfit import attach_bitfit, plan_bitfit
from rsmeta.peft.full import attach_full, attach_scratch, plan_full, plan_scratch
from rsmeta.peft.gamma_table import start_values
from rsmeta.peft.layer_norm import attach_layer_norm, plan_layer_norm
from rsmeta.peft.lora import attach_lora, plan_lora
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import AnySite, Part, PlannedSite, modulated_sites
from rsmeta.peft.ssf import attach_ssf, plan_ssf
from rsmeta.peft.visual_prompts import (
    attach_vpt_deep,
    attach_vpt_shallow,
    plan_vpt_deep,
    plan_vpt_shallow,
)
from rsmeta.recipe import AdditiveMethod, Peft, Section

Plan = Callable[[Any, VisionTransformer], list[PlannedSite]]
"""Lists what a method trains, for its recipe section and a backbone."""


@dataclass(frozen=True)
class Additive:
    """A method with modulators.

    Attributes:
        plan: Lists the sites.
        attach: Puts the adapters in place; they read their modulators from the bank.
    """

    plan: Plan
    attach: Callable[[Any, VisionTransformer, ModulatorBank], None]


@dataclass(frozen=True)
class Direct:
    """A method without modulators.

    Attributes:
        plan: Lists the trained parts.
        attach: Puts new tensors in place and lets what is trained take gradients.
    """

    plan: Plan
    attach: Callable[[Any, VisionTransformer], None]


METHODS: dict[type[Section], Additive | Direct] = {
    recipe.Lora: Additive(plan_lora, attach_lora),
    recipe.Adapter: Additive(plan_adapter, attach_adapter),
    recipe.AdaptFormer: Additive(plan_adaptformer, attach_adaptformer),
    recipe.LinearProbe: Direct(lambda config, model: [], lambda config, model: None),
    recipe.BitFit: Direct(plan_bitfit, attach_bitfit),
    recipe.LayerNormTuning: Direct(plan_layer_norm, attach_layer_norm),
    recipe.ScaleShift: Direct(plan_ssf, attach_ssf),
    recipe.VptShallow: Direct(plan_vpt_shallow, attach_vpt_shallow),
    recipe.VptDeep: Direct(plan_vpt_deep, attach_vpt_deep),
    recipe.FullFineTuning: Direct(plan_full, attach_full),
    recipe.Scratch: Direct(plan_scratch, attach_scratch),
}


def plan(
    config: Peft,
    model: VisionTransformer,
    kept: Collection[AnySite] | None = None,
    bands: BandTraining | None = None,
) -> list[PlannedSite]:
    """The resolved plan of a recipe for a frozen backbone, before `adapt`.

    Args:
        config: The recipe's section.
        model: The backbone.
        kept: The sites that pruning left; None for all.
        bands: What of the patch embedding trains beside the method; None for nothing.

    Returns:
        One line for each site or trained part; the parameters of all lines are those that train.

    Raises:
        RecipeError: The recipe does not fit the backbone.
    """
    lines = [] if bands is None else plan_bands(bands, model)
    lines += METHODS[type(config)].plan(config, model)
    if kept is None:
        return lines
    return [line for line in lines if isinstance(line.site, Part) or line.site in kept]


def adapt(
    config: Peft,
    model: VisionTransformer,
    kept: Collection[AnySite] | None = None,
    bands: BandTraining | None = None,
) -> ModulatorBank | None:
    """Attach what the recipe trains to a frozen backbone, in place.

    Args:
        config: The recipe's section.
        model: The backbone.
        kept: The sites of a trained model, whose modulators will be loaded; None before training.
        bands: What of the patch embedding trains beside the method; None for nothing.

    Returns:
        The bank of modulators, or None where nothing has one.

    Raises:
        RecipeError: The recipe does not fit the backbone.
    """
    method = METHODS[type(config)]
    bank = _modulators(config, modulated_sites(plan(config, model, kept, bands)), kept is not None)
    if isinstance(method, Direct):
        method.attach(config, model)
    else:
        assert bank is not None
        method.attach(config, model, bank)
    if bands is not None:
        attach_bands(bands, model, bank)
    return bank


def _modulators(config: Peft, sites: Sequence[AnySite], trained: bool) -> ModulatorBank | None:
    if not isinstance(config, AdditiveMethod):
        return ModulatorBank(sites, [1.0] * len(sites), learned=False) if sites else None
    learned = config.modulators == "learned"
    # A trained model brings its modulators along; the table they started from may be gone.
    start = [config.gamma] * len(sites) if trained else start_values(config, sites)
    return ModulatorBank(sites, start, learned, config.sharing)
