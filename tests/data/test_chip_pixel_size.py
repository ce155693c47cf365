import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from rsmeta.data.sources import load_data
from rsmeta.data.statistics import BandStatistics
from rsmeta.errors import DataError
from rsmeta.model_card import ModelCard
from rsmeta.recipe import Recipe

SIZES = {"train/a/1": 9, "train/a/2": 10, "train/b/1": 12, "train/b/2": None, "test/a/1": 50}

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def load(write_chip, tmp_path):
    """Load chips with these pixel sizes on the equator."""

    def load(sizes, **more):
        for name, size in sizes.items():
            place = {} if size is None else {"transform": from_origin(0, 0, size, size)}
            write_chip(f"{name}.tif", np.ones((1, 8, 8), np.uint8), crs="EPSG:3857", **place)
        data = {"source": "folder", "root": tmp_path, "sensor": "sar-amplitude", "bands": ["HH"]}
        return load_data(Recipe.model_validate({"name": "x", "data": data | more}))

    return load


def test_median_of_the_training_chips_that_have_one(load):
    # Web Mercator stretches the north by 0.67 % on the equator; squares count by their area.
    assert load(SIZES).pixel_size == pytest.approx(10, rel=0.005)
    assert load(SIZES, imbalance=1).pixel_size == pytest.approx(10, rel=0.005)
    assert load(dict.fromkeys(SIZES)).pixel_size is None


def test_simulated_chips_have_the_pixels_of_simulated_scenes(tiny_recipe):
    assert load_data(tiny_recipe()).pixel_size == 2.0


def test_chips_with_a_palette_are_refused(load, tmp_path):
    data = load(SIZES)
    with rasterio.open(tmp_path / "train" / "a" / "1.tif", "r+") as chip:
        chip.write_colormap(1, {0: (255, 0, 0, 255)})
    with pytest.raises(DataError, match=r"1\.tif.*colour palette"):
        data.train.read(0)


def test_the_card_of_a_run_keeps_it_and_older_cards_load():
    card = ModelCard(
        classes=("a", "b"), bands=("HH",), statistics=BandStatistics((1.0,), (2.0,)),
        tile_size=8, backbone="x", backbone_sha256="y", sites=(), versions={}, pixel_size=9.5,
    )  # fmt: skip
    assert ModelCard.from_json(card.to_json()) == card
    old = json.loads(card.to_json())
    del old["pixel_size"]
    assert ModelCard.from_json(json.dumps(old)).pixel_size is None
