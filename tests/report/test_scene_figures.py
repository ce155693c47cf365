from functools import partial

import numpy as np
import pandas as pd
import pytest
from drawing import draw
from matplotlib.colors import to_rgb

from rsmeta.report.scene_figures import class_map, confidence_histogram


def test_the_histogram_is_of_shares():
    table = pd.DataFrame({"lower": [0.0, 0.5], "upper": [0.5, 1.0], "pixels": [100, 300]})
    ax = draw(confidence_histogram, table)
    assert [bar.get_height() for bar in ax.patches] == [0.25, 0.75]
    assert [bar.get_x() for bar in ax.patches] == [0, 0.5]


def test_a_scene_without_valid_pixels_has_an_empty_histogram():
    table = pd.DataFrame({"lower": [0.0], "upper": [1.0], "pixels": [0]})
    assert [bar.get_height() for bar in draw(confidence_histogram, table).patches] == [0]


@pytest.mark.parametrize("unnamed", [0, 3])
def test_the_map_has_its_overlay_and_a_legend_of_plain_names(unnamed):
    look = np.full((4, 5, 4), 255, dtype=np.uint8)
    overlay = np.zeros_like(look)
    legend = [("$a", (255, 0, 0)), ("b" * 40, (0, 0, 255))]
    ax = draw(partial(class_map, look, overlay, legend), unnamed)
    np.testing.assert_array_equal(ax.images[1].get_array(), overlay)
    entries = ax.get_legend()
    names = [text.get_text() for text in entries.get_texts()]
    assert names[0] == r"\$a" and len(names[1]) < 40
    assert names[2:] == (["and 3 more"] if unnamed else [])
    assert to_rgb(entries.get_patches()[0].get_facecolor()) == (1, 0, 0)
