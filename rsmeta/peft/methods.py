"""The registry of methods: how each plans its sites and attaches itself to a backbone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from timm.models.vision_transformer import VisionTransformer

from rsmeta.peft.lora import attach_lora, plan_lora
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import PlannedSite
from rsmeta.recipe import AdditiveMethod, LinearProbe, Lora, Peft


@dataclass(frozen=True)
class Method:
    """How a method enters a backbone.

    Attributes:
        plan: Lists the sites for a recipe section and a backbone.
        attach: Puts the adapters in place; they read their modulators from the bank.
    """

    plan: Callable[[Any, VisionTransformer], list[PlannedSite]]
    attach: Callable[[Any, VisionTransformer, ModulatorBank], None]


METHODS: dict[type[LinearProbe] | type[Lora], Method] = {
    LinearProbe: Method(plan=lambda config, model: [], attach=lambda config, model, bank: None),
    Lora: Method(plan=plan_lora, attach=attach_lora),
}


def plan(config: Peft, model: VisionTransformer) -> list[PlannedSite]:
    """The resolved plan of a recipe for a backbone: one line for each site."""
    return METHODS[type(config)].plan(config, model)


def adapt(config: Peft, model: VisionTransformer) -> ModulatorBank | None:
    """Attach the recipe's adapters to a frozen backbone, in place.

    Returns:
        The bank of modulators, or None for a method without sites.
    """
    sites = [line.site for line in plan(config, model)]
    if not isinstance(config, AdditiveMethod):
        return None
    bank = ModulatorBank(sites, config.gamma, learned=config.modulators == "learned")
    METHODS[type(config)].attach(config, model, bank)
    return bank
