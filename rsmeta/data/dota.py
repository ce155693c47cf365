"""Objects of DOTA as labelled data."""

from rsmeta.data.chips import LabelledData
from rsmeta.data.dota_cutting import cut_dota
from rsmeta.data.files import load_table
from rsmeta.recipe import DotaData, TableData


def load_dota(config: DotaData, seed: int) -> LabelledData:
    """Objects of DOTA as chips; they are cut out first where that is not done yet.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where one is drawn.

    Raises:
        DataError: DOTA or the cache cannot be used, or a class has no training chips.
    """
    table = TableData(
        source="table",
        file=cut_dota(config),
        sensor=config.sensor,
        classes=config.classes,
        imbalance=config.imbalance,
        largest_class=config.largest_class,
        test_split="val",
    )
    return load_table(table, seed)
