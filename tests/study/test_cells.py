import json
from pathlib import Path

import pytest
import yaml

from rsmeta.errors import RecipeError
from rsmeta.recipe import AdaptFormer, Lora
from rsmeta.recipe_reading import read_recipe
from rsmeta.study.cells import cells_of, present_record
from rsmeta.study.config import Study

STUDIES = sorted((Path(__file__).parents[2] / "recipes" / "studies").glob("*.yaml"))
RECIPE = {"name": "base", "data": {"source": "simulator"}, "inner": {"epochs": 3}}
STUDY = {
    "name": "small",
    "recipe": "base.yaml",
    "seeds": [0, 5],
    "set": {"inner.batch_size": 8},
    "baseline": "fixed",
    "variants": {
        "mean": {"gamma_of": {"variant": "learned", "pattern": "mean"}},
        "fixed": {"set": {"peft.modulators": "fixed"}},
        "learned": {},
    },
    "axes": {
        "adapter": {"LoRA": {"peft.rank": 4}, "AdaptFormer": {"peft.method": "adaptformer"}},
        "scale": {"one": {}, "two": {"peft.gamma": 2}},
    },
}


@pytest.fixture
def read(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(RECIPE))

    def build(**changes):
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(STUDY | changes))
        study = read_recipe(Study, file)
        return cells_of(study, tmp_path)

    return build


def test_every_variant_is_run_at_every_combination_and_seed(read):
    cells = read()
    assert len(cells) == 3 * 4 * 2
    found = {(c.variant, c.levels["adapter"], c.levels["scale"], c.seed) for c in cells}
    assert len(found) == len(cells)
    for cell in cells:
        kind = Lora if cell.levels["adapter"] == "LoRA" else AdaptFormer
        assert isinstance(cell.recipe.peft, kind)
        assert cell.recipe.peft.gamma == (1 if cell.levels["scale"] == "one" else 2)
        assert cell.recipe.peft.modulators == ("learned" if cell.variant == "learned" else "fixed")
        assert (cell.recipe.seed, cell.recipe.inner.batch_size) == (cell.seed, 8)


def test_seeds_are_completed_one_after_the_other_and_sources_come_first(read):
    cells = read()
    assert [cell.seed for cell in cells] == [0] * 12 + [5] * 12
    for number, cell in enumerate(cells):
        assert (cell.source is not None) == (cell.variant == "mean")
        if cell.source is not None:
            assert cell.source in cells[:number]
            assert (cell.source.levels, cell.source.seed) == (cell.levels, cell.seed)


def test_the_key_depends_on_what_decides_the_result_alone(read):
    keys = [cell.key for cell in read()]
    assert len(set(keys)) == len(keys)
    renamed = {"f": STUDY["variants"]["fixed"], "learned": {}}
    again = read(name="other", variants=renamed, baseline="f", seeds=[5, 7])
    fixed = {cell.key for cell in read() if cell.variant == "fixed" and cell.seed == 5}
    assert fixed == {cell.key for cell in again if cell.variant == "f" and cell.seed == 5}
    shuffled = dict(STUDY["variants"], mean={"gamma_of": {"variant": "learned"}})
    others = {c.key for c in read(variants=shuffled) if c.variant == "mean"}
    assert not others & set(keys)


def test_records_hold_no_place_of_this_machine(read, tmp_path):
    file = tmp_path / "data" / "chips.csv"
    data = {"source": "table", "file": str(file), "sensor": "rgb"}
    (cell, *_) = read(set={"data": data})
    assert str(tmp_path) not in cell.record
    assert json.loads(cell.record)["data"]["file"] == "data/chips.csv"


def test_records_of_far_paths_stay_as_they_are(read):
    (cell, *_) = read(set={"data": {"source": "table", "file": "/far/chips.csv", "sensor": "rgb"}})
    assert json.loads(cell.record)["data"]["file"].endswith("../far/chips.csv")
    assert present_record(cell.record) == cell.record


def test_a_record_of_an_older_version_is_read_with_todays_defaults_where_it_is_silent(read):
    (cell, *_) = read()
    assert present_record(cell.record) == cell.record
    older = json.loads(cell.record)
    del older["outer"]["held_out"]
    assert present_record(json.dumps(older)) == cell.record
    older["outer"]["batches"] = 3
    assert present_record(json.dumps(older)) != cell.record
    older["outer"]["forgotten"] = 1
    assert present_record(json.dumps(older)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "none"}, "baseline 'none' is none of the variants"),
        ({"variants": {"fixed": {"gamma_of": {"variant": "x"}}}}, "there is no variant 'x'"),
        ({"seeds": [1, 1]}, "a seed stands twice"),
        ({"axes": {"head": {"a": {}, "b": {}}}}, "axes: 'head' is a column of the results"),
        ({"axes": {"depth": {}}}, "axes.depth"),
        ({"search": {"budgets": [5, 5]}}, "budgets: a number stands twice"),
        (
            {
                "axes": {"depth": {"a": {}, "b": {}}},
                "heat_maps": [{"rows": "depth", "columns": "depth"}],
            },
            "rows and columns are one axis",
        ),
        ({"recipe": "missing.yaml"}, "does not exist"),
        ({"set": {"inner.epochs": 0}}, "inner.epochs: 0"),
        ({"set": {"inner.epoch": 1}}, "did you mean 'epochs'"),
    ],
)
def test_mistakes_are_told(read, changes, message):
    with pytest.raises(RecipeError, match=message):
        read(**changes)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_the_committed_studies_are_valid(file):
    study = read_recipe(Study, file)
    assert study.name == file.stem
    assert len(cells_of(study, file.parent)) >= 2 * len(study.seeds)
