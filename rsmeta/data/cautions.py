"""What is allowed in a recipe and may still surprise: one line each, told before training."""

from collections.abc import Sequence

from rsmeta.bands import Band
from rsmeta.recipe import BalancedSoftmax, ClassBalanced, Lade, LogitAdjusted, Recipe


def cautions(recipe: Recipe, bands: Sequence[Band], unread: Sequence[str] = ()) -> list[str]:
    """Lines about a recipe that is valid.

    Args:
        recipe: The recipe.
        bands: Bands of its chips.
        unread: Names of those that the model does not see.
    """
    found = []
    sampling, loss = recipe.inner.sampling, recipe.inner.loss
    if sampling != "all" and isinstance(
        loss, LogitAdjusted | BalancedSoftmax | ClassBalanced | Lade
    ):
        found.append(
            f"inner.sampling {sampling} and inner.loss {loss.name} both favour rare classes, the "
            "loss by the training counts, not by what is drawn: the imbalance is corrected twice; "
            "set inner.loss.name to cross_entropy or inner.sampling to all to correct it once"
        )
    geometry = recipe.augmentation.geometry
    if geometry != "none" and any(band.is_radar for band in bands):
        found.append(
            f"augmentation.geometry {geometry} on radar bands turns the look direction: shadow and "
            "layover point where the sensor never puts them; set it to none unless the scenes come "
            "from all directions"
        )
    if unread:
        found.append(
            f"the model does not see {', '.join(unread)}: pretraining had no such bands, and "
            "backbone.spectral gives them kernels of zero; set its mode to spectral, or its "
            "update_rank, or leave the bands out"
        )
    return found
