"""Write a table of OpenSARShip's chips with VV and VH, split by scene, for the spectral study.

    python benchmarks/opensarship_split.py ../shared/data/opensarship ../opensarship_split

Classes with at least 30 chips are kept, of ground-range products: slant-range ones have another
pixel spacing and hold one class alone. The newest scenes are the test, as many as it takes to reach
a third of the chips; no scene is in both splits. The chips hold linear power, first VH, then VV;
they stay where they are.
"""

import argparse
from pathlib import Path

import pandas as pd

SMALLEST_CLASS = 30
TEST_SHARE = 1 / 3


def split_by_scene(manifest: pd.DataFrame) -> pd.DataFrame:
    """Choose chips and give them the column `split`.

    Args:
        manifest: Columns `label`, `bands` (a chip's number), `product` and `scene`, whose name
            holds the time of acquisition in its fifth field.
    """
    chips = manifest[(manifest["bands"] == 2) & (manifest["product"] == "GRD")].copy()
    chips = chips[chips.groupby("label")["label"].transform("size") >= SMALLEST_CLASS]
    time = chips["scene"].str.split("_").str[4]
    share = time.value_counts(normalize=True).sort_index(ascending=False).cumsum()
    newest = share.index[: int((share < TEST_SHARE).sum()) + 1]
    chips["split"] = time.isin(newest).map({True: "test", False: "train"})
    return chips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder of manifest.csv")
    parser.add_argument("out", type=Path, help="folder to write chips.csv to, made if missing")
    arguments = parser.parse_args()
    chips = split_by_scene(pd.read_csv(arguments.source / "manifest.csv"))
    chips["path"] = [str((arguments.source / path).resolve()) for path in chips["path"]]
    arguments.out.mkdir(parents=True, exist_ok=True)
    chips.to_csv(arguments.out / "chips.csv", index=False, lineterminator="\n")
    print(chips.groupby(["split", "label"]).size().to_string())


if __name__ == "__main__":
    main()
