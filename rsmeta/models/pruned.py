"""A trained classifier with fewer sites."""

from collections.abc import Collection, Sequence

from rsmeta.bands import Band
from rsmeta.data.statistics import BandStatistics
from rsmeta.models.classifier import BuiltModel, ChipClassifier, build_classifier
from rsmeta.peft.pruning import transfer
from rsmeta.peft.sites import AnySite
from rsmeta.recipe import Recipe


def keep_sites(
    recipe: Recipe,
    bands: Sequence[Band],
    statistics: BandStatistics,
    classifier: ChipClassifier,
    kept: Collection[AnySite],
) -> BuiltModel:
    """Build a classifier that computes what another does without the updates of some sites.

    Args:
        recipe: The recipe of the trained classifier.
        bands: Bands of the chips, in order.
        statistics: Statistics that normalise the bands.
        classifier: The trained classifier; stays as it is.
        kept: The sites to keep.

    Raises:
        BackboneError: The backbone cannot be loaded.
    """
    classes = len(classifier.head.weight)
    built = build_classifier(recipe, bands, classes, statistics, kept)
    transfer(classifier, built.classifier)
    built.classifier.store_frozen_low()
    return built
