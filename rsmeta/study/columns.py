"""Columns of the results of a study."""

SCORES = ("head", "medium", "tail", "average")
KEY, VARIANT, SEED = "cell", "variant", "seed"
PASSES, ALL_PASSES, SECONDS = "passes", "passes_with_search", "training_seconds"
RECORD, SOURCE, PATTERN = "recipe", "gamma_of", "gamma_pattern"

RESERVED = frozenset(
    {*SCORES, KEY, VARIANT, SEED, PASSES, ALL_PASSES, SECONDS, RECORD, SOURCE, PATTERN}
)
"""Names that an axis, which is a column too, cannot have."""
