import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rsmeta.study.config import Study
from rsmeta.study.figures import accuracy_by_cost, heat_map, variant_accuracy
from rsmeta.study.page import plots_of, write_page

VALUES = {"A": [0.5, 0.7], "B": [0.8, 0.9]}


@pytest.fixture
def results():
    rows = []
    for depth, shift in {"early": 0.0, "late": -0.2}.items():
        for variant, values in VALUES.items():
            for seed, value in enumerate(values):
                scores = dict.fromkeys(("head", "medium", "tail", "average"), value + shift)
                rows.append(
                    {"variant": variant, "seed": seed, "depth": depth, "width": "one"}
                    | scores
                    | {"training_seconds": 3.0, "passes_with_search": 100.0}
                )
    return pd.DataFrame(rows)


@pytest.fixture
def ax():
    return Figure().add_subplot()


def test_variants_stand_at_their_means_in_order(results, ax):
    variant_accuracy(results[results["depth"] == "early"], ax)
    tail, average = (container.lines[0] for container in ax.containers)
    for line in (tail, average):
        np.testing.assert_allclose(np.array(line.get_xdata(), float), [0.6, 0.85])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A", "B"]
    assert ax.yaxis_inverted()


def test_cost_is_on_a_logarithmic_axis(results, ax):
    accuracy_by_cost(results, ax)
    assert ax.get_xscale() == "log"
    assert {text.get_text() for text in ax.texts} == {"A", "B"}


def test_the_best_cell_of_a_heat_map_is_framed(ax):
    table = pd.DataFrame([[0.1, np.nan], [0.3, 0.9]], index=["a", "b"], columns=["x", "y"])
    table.attrs["score"] = "tail"
    heat_map(table, ax)
    (frame,) = [p for p in ax.patches if isinstance(p, Rectangle) and not p.get_fill()]
    assert frame.get_xy() == (1, 1)
    assert {text.get_text() for text in ax.texts} == {"10.0", "30.0", "90.0"}


def study(**changes):
    values = {
        "name": "s", "recipe": "r.yaml", "baseline": "A", "variants": {"A": {}, "B": {}},
        "axes": {"depth": {"early": {}, "late": {}}, "width": {"one": {}, "two": {}}},
    }  # fmt: skip
    return Study.model_validate(values | changes)


def test_a_study_without_heat_maps_draws_its_variants_at_every_level(results):
    assert [plot.name for plot in plots_of(study(), results)] == [
        "variants_early_one",
        "variants_late_one",
    ]


def test_levels_of_like_names_do_not_overwrite_each_other(results):
    axes = {"depth": {"early!": {}, "early?": {}}}
    alike = results.replace({"early": "early!", "late": "early?"})
    names = [plot.name for plot in plots_of(study(axes=axes), alike)]
    assert names == ["variants_early", "variants_early_2"]


def test_heat_maps_are_drawn_for_each_group_and_variant(results, tmp_path):
    config = study(heat_maps=[{"rows": "depth", "columns": "width"}])
    names = [plot.name for plot in plots_of(config, results)]
    assert len(names) == 2 * 4
    assert "depth_width_a_tail" in names
    chosen = next(plot for plot in plots_of(config, results) if plot.name == "depth_width_b_tail")
    np.testing.assert_allclose(chosen.table.to_numpy(), [[0.85, np.nan], [0.65, np.nan]])
    write_page(config, results, tmp_path)
    assert len(list((tmp_path / "s_figures").glob("*.png"))) == 8


def test_a_heat_map_is_of_axes_of_the_study():
    with pytest.raises(ValueError, match="there is no axis 'none'"):
        study(heat_maps=[{"rows": "depth", "columns": "none"}])
