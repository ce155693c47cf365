"""The registry of methods: how each plans what it trains and enters a frozen backbone."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from timm.models.vision_transformer import VisionTransformer

from rsmeta import recipe
from rsmeta.peft.adapter import attach_adapter, plan_adapter
from rsmeta.peft.adaptformer import attach_adaptformer, plan_adaptformer
from rsmeta.peft.bitfit import attach_bitfit, plan_bitfit
from rsmeta.peft.full import attach_full, attach_scratch, plan_full, plan_scratch
from rsmeta.peft.gamma_table import start_values
from rsmeta.peft.layer_norm import attach_layer_norm, plan_layer_norm
from rsmeta.peft.lora import attach_lora, plan_lora
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import PlannedSite, Site, modulated_sites
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
    config: Peft, model: VisionTransformer, kept: Collection[Site] | None = None
) -> list[PlannedSite]:
    """The resolved plan of a recipe for a frozen backbone, before `adapt`.

    Args:
        config: The recipe's section.
        model: The backbone.
        kept: The sites that pruning left; None for all.

    Returns:
        One line for each site or trained part; the parameters of all lines are those that train.

    Raises:
        RecipeError: The recipe does not fit the backbone.
    """
    lines = METHODS[type(config)].plan(config, model)
    return lines if kept is None else [line for line in lines if line.site in kept]


def adapt(
    config: Peft, model: VisionTransformer, kept: Collection[Site] | None = None
) -> ModulatorBank | None:
    """Attach what the recipe trains to a frozen backbone, in place.

    Args:
        config: The recipe's section.
        model: The backbone.
        kept: The sites of a trained model, whose modulators will be loaded; None before training.

    Returns:
        The bank of modulators, or None for a method without.

    Raises:
        RecipeError: The recipe does not fit the backbone.
    """
    method = METHODS[type(config)]
    if isinstance(method, Direct):
        method.attach(config, model)
        return None
    assert isinstance(config, AdditiveMethod)
    sites = modulated_sites(plan(config, model, kept))
    learned = config.modulators == "learned"
    # A trained model brings its modulators along; the table they started from may be gone.
    start = start_values(config, sites) if kept is None else [config.gamma] * len(sites)
    bank = ModulatorBank(sites, start, learned, config.sharing)
    method.attach(config, model, bank)
    return bank
