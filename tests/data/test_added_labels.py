"""Labels that are added to a labelled scene after the first ones."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from scene_files import checkerboard, labels_of, ramp, write_raster

from rsmeta.data.labelled_scene import load_labelled_scene
from rsmeta.data.spatial_blocks import block_split, overlapping_pairs
from rsmeta.recipe import LabelledSceneData

SIDE = 160
LEAST = {
    "source": "labelled_scene",
    "class_column": "class",
    "sensor": "sentinel1",
    "bands": ["VV", "VH"],
    "chip": 8,
    "block_metres": 320,
}


@pytest.fixture
def load(tmp_path):
    """Load a scene labelled with every second tile of a checkerboard, and added labels."""
    raster = write_raster(tmp_path / "scene.tif", ramp(2, SIDE, SIDE))
    tiles = labels_of(checkerboard(20, 8))
    tiles.iloc[::2].to_file(tmp_path / "first.gpkg")
    added = tiles.iloc[1:33:2].rename(columns={"class": "label"})
    added.to_file(tmp_path / "added.gpkg", layer="suggestions")
    style = pd.DataFrame({"f_table_name": ["suggestions"]})
    pyogrio.write_dataframe(style, tmp_path / "added.gpkg", layer="layer_styles", driver="GPKG")

    def load(*, added, **options):
        scenes = [{"raster": raster, "labels": tmp_path / "first.gpkg"}]
        if added:
            scenes.append(
                {
                    "raster": raster,
                    "labels": tmp_path / "added.gpkg",
                    "class_column": "label",
                    "split": "train",
                }
            )
        config = {**LEAST, "scenes": scenes, **options}
        return load_labelled_scene(LabelledSceneData.model_validate(config), 0)

    return load


def test_added_labels_are_trained_with_and_leave_the_test_as_it_was(load):
    before, after = load(added=False), load(added=True)
    assert after.test.windows == before.test.windows
    trained = [window for window in after.train.windows if window.scene == 0]
    assert trained == list(before.train.windows)
    assert 0 < len(after.train) - len(before.train) <= 16 * 4

    def blocks(windows):
        middles = [(500_000 + 10 * (w.column + 4), 5_700_000 - 10 * (w.row + 4)) for w in windows]
        return {(x // 320, y // 320) for x, y in middles}

    added = [window for window in after.train.windows if window.scene == 1]
    assert not blocks(added) & blocks(after.test.windows)
    assert any("chip of split: train in or over a block of test chips" in x for x in after.origin)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_never_tested_has_no_part_in_the_split(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 40, (60, 2))
    boxes = gpd.GeoSeries.from_xy(*corners.T).buffer(2, cap_style="square").to_numpy()
    blocks = corners[:, 0] // 10 * 10 + corners[:, 1] // 10
    labels = np.r_[0, 1, 0, 1, rng.integers(0, 2, 56)]
    never = rng.random(60) < 0.3
    pairs = overlapping_pairs(boxes)
    found = block_split(blocks, labels, pairs, 0.25, seed, never)
    alone = block_split(
        blocks[~never], labels[~never], overlapping_pairs(boxes[~never]), 0.25, seed
    )
    assert np.array_equal(found.test[~never], alone.test)
    assert np.array_equal(found.train[~never], alone.train)
    assert not found.test[never].any()
    tested = set(blocks[found.test])
    over = {i for i, j in pairs if found.test[j]}
    for index in np.flatnonzero(never):
        allowed = blocks[index] not in tested and index not in over
        assert found.train[index] == allowed


def test_background_lies_apart_from_all_labels_of_a_raster(load):
    """First and added labels together leave no square free but those outside of the tiles."""
    background = {"name": "nothing", "count": 1000}
    first, both = (load(added=part, background=background) for part in (False, True))

    def windows(data, wanted):
        return {
            window[1:]
            for part in (data.train, data.test)
            for window, label in zip(part.windows, part.labels, strict=True)
            if (data.classes[label] == "nothing") == wanted
        }

    assert 0 < len(windows(both, True)) < len(windows(first, True))
    assert not windows(both, True) & windows(both, False)
