"""The report of a real run in a browser without network."""

import pytest
from browser_pages import clipped, images, opened

from rsmeta.finetuning import finetune
from rsmeta.recipe import Recipe

FIGURES = {
    *("modulators", "modulators_course", "scale_trials", "bands", "bands_course"),
    *("class_distribution", "class_accuracy", "confusion", "reliability"),
    *("mistakes", "hard_tail_chips", "features", "learning_curves"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trials of scales, modulators of bands, and training too short not to make mistakes."""
    recipe = {
        "name": "browser",
        "runs": tmp_path_factory.mktemp("runs"),
        "data": {"source": "simulator", "largest_class": 8, "imbalance": 4, "test_per_class": 2},
        "backbone": {"spectral": {"update_rank": 4}},
        "inner": {"epochs": 3, "batch_size": 8},
        "outer": {
            "scale_search": {"factors": [0.5, 2], "epochs": 1},
            "resample": "never",
            "every": 2,
            "batch_size": 11,
            "learning_rate": 0.1,
        },
    }
    return finetune(Recipe.model_validate(recipe)).folder


def test_the_report_shows_everything_without_network(run):
    with opened(run / "report.html") as page:
        sizes = images(page)
        assert len(sizes) == len(FIGURES)
        assert all(width > 0 and height > 0 for width, height in sizes)
        assert set(page.locator("figure").evaluate_all("all => all.map(f => f.id)")) == FIGURES
        assert page.locator("#classes tbody tr").count() == 11
        assert clipped(page) == []
        page.locator("details", has_text="Chips shown").click()
        assert page.locator("#chips").is_visible()


def test_the_report_fits_a_narrow_window(run):
    with opened(run / "report.html") as page:
        page.set_viewport_size({"width": 400, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 400
