"""The classes that a section of chips lists."""

import pytest

from rsmeta.errors import RecipeError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import validate

FOLDER = {"source": "folder", "root": "chips", "sensor": "rgb"}
SCENE = {
    "source": "labelled_scene",
    "scenes": [{"raster": "a.tif", "labels": "a.gpkg"}],
    "class_column": "crop",
    "sensor": "rgb",
    "chip": 32,
    "block_metres": 500,
}


@pytest.mark.parametrize("data", [FOLDER, SCENE], ids=lambda data: data["source"])
def test_a_class_stands_once(data):
    names = ["ship", "field"]
    recipe = validate(Recipe, {"name": "tiny", "data": data | {"classes": names}})
    assert recipe.data.classes == names
    with pytest.raises(RecipeError, match=r"data\.classes: .*class 'ship' stands twice"):
        validate(Recipe, {"name": "tiny", "data": data | {"classes": [*names, "ship"]}})
