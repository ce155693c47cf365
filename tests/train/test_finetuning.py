import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from small_runs import FEW_CHIPS

from rsmeta.drafts import new_run
from rsmeta.errors import RecipeError, RunError
from rsmeta.finetuning import finetune
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.runs import load_run

NUMBERS = ["metrics.json", "per_class.csv", "confusion.csv", "modulators.csv", "history.csv"]


def digest(run, name):
    return hashlib.sha256((run / name).read_bytes()).hexdigest()


def test_a_run_folder_is_complete_and_latest_points_at_it(finished_run):
    work, run = finished_run
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    expected = {*NUMBERS, "recipe.yaml", "model.safetensors", "resources.json", "report.html"}
    expected |= {f"figures/{n}.png" for n in ("modulators", "confusion", "class_distribution")}
    assert expected <= files
    assert (work / "runs" / "latest").resolve() == run
    assert not list((work / "runs").glob(".*"))


def test_metrics_and_tables_agree(finished_run):
    _, run = finished_run
    metrics = json.loads((run / "metrics.json").read_text())
    per_class = pd.read_csv(run / "per_class.csv")
    confusion = pd.read_csv(run / "confusion.csv").set_index("true class")
    hits = np.diag(confusion.to_numpy())
    assert per_class["accuracy"].to_numpy() == pytest.approx(hits / confusion.sum(axis=1))
    assert metrics["accuracy"]["average"] == pytest.approx(per_class["accuracy"].mean())
    assert metrics["accuracy"]["overall"] == pytest.approx(hits.sum() / confusion.to_numpy().sum())
    tail = per_class[per_class["group"] == "tail"]
    assert metrics["accuracy"]["tail"] == pytest.approx(tail["accuracy"].mean())
    assert metrics["groups"]["tail"] == tail["class"].tolist()
    distances = pd.read_csv(run / "class_distances.csv").set_index("class")
    assert distances.index.tolist() == distances.columns.tolist() == per_class["class"].tolist()
    assert (distances.to_numpy() == distances.to_numpy().T).all()
    assert ((distances.to_numpy() > 0) == ~np.eye(len(distances), dtype=bool)).all()


def test_meta_learning_moves_the_modulators(finished_run):
    _, run = finished_run
    table = pd.read_csv(run / "modulators.csv")
    assert len(table) == 8 * 6
    assert (table["gamma"] > 0).all()
    assert (table["gamma"] - 1).abs().min() > 1e-4
    history = pd.read_csv(run / "history.csv")
    assert history["gamma_max"].iloc[-1] == pytest.approx(table["gamma"].max())
    assert history["outer_loss"].notna().all()


@pytest.mark.parametrize("every", [1, 3])
def test_fixed_modulators_stay_where_they_start(tiny_recipe, every):
    recipe = tiny_recipe(peft={"modulators": "fixed", "gamma": 2.0}, outer={"every": every})
    table = pd.read_csv(finetune(recipe).folder / "modulators.csv")
    assert table["gamma"].to_numpy() == pytest.approx(2.0, rel=1e-6)


def test_the_learned_modulators_change_predictions(finished_run):
    """The scales that were learned are the scales that predict."""
    _, run = finished_run
    model = load_run(run)
    table = pd.read_csv(run / "modulators.csv")
    assert list(model.classifier.modulators.values().values()) == pytest.approx(
        table["gamma"].tolist(), rel=1e-6
    )
    torch.manual_seed(0)
    images = torch.randn(4, 2, 64, 64) * 5 - 15
    learned = model.logits(images)
    rho = model.classifier.modulators.rho
    rho.data.fill_(np.log(np.expm1(1.0)))
    assert (model.logits(images) - learned).abs().max() > 1e-3


def test_a_new_process_gives_identical_logits(tiny_recipe, rsmeta_python):
    """What training had in memory at its end, and what a new process loads, predict the same."""
    captured = {}

    def keep(module, arguments, logits):
        captured.setdefault("images", arguments[0])
        captured.setdefault("logits", logits)

    from rsmeta.models.classifier import ChipClassifier

    build = ChipClassifier.__init__

    def build_and_watch(self, *arguments, **keywords):
        build(self, *arguments, **keywords)
        self.register_forward_hook(lambda *a: keep(*a) if not torch.is_grad_enabled() else None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChipClassifier, "__init__", build_and_watch)
        run = finetune(tiny_recipe()).folder
    torch.save(captured["images"], run / "images.pt")
    rsmeta_python(
        "import sys, torch; from pathlib import Path; from rsmeta.runs import load_run;"
        "run = Path(sys.argv[1]);"
        "model = load_run(run).classifier.requires_grad_(False);"
        "torch.save(model(torch.load(run / 'images.pt')), run / 'logits.pt')",
        run,
    )
    loaded = torch.load(run / "logits.pt")
    assert (loaded - captured["logits"]).abs().max() == 0


@pytest.mark.parametrize("geometry", ["none", "d4"])
def test_two_runs_give_identical_numbers(tiny_recipe, geometry):
    recipe = tiny_recipe(augmentation={"geometry": geometry})
    first, second = finetune(recipe).folder, finetune(recipe).folder
    assert first != second
    for name in [*NUMBERS, "model.safetensors"]:
        assert digest(first, name) == digest(second, name), name


def test_another_seed_gives_other_numbers(tiny_recipe):
    first, second = finetune(tiny_recipe()).folder, finetune(tiny_recipe(seed=1)).folder
    assert digest(first, "model.safetensors") != digest(second, "model.safetensors")


@pytest.mark.parametrize(
    "peft",
    [
        {"method": "linear_probe"},
        {"positions": ["q", "v"], "modulators": "fixed"},
        {"blocks": "last:2", "rank": 2},
    ],
)
def test_every_method_trains_saves_and_loads(tiny_recipe, peft):
    finished = finetune(tiny_recipe(peft=peft))
    model = load_run(finished.folder)
    assert model.logits(torch.zeros(1, 2, 64, 64)).shape == (1, 11)
    assert 0 <= finished.metrics.average <= 1


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("engine", ["first_order", "finite_difference", "unrolled"])
def test_every_engine_learns_modulators(tiny_recipe, engine, optimiser):
    recipe = tiny_recipe(
        outer={"engine": engine, "every": 2, "batch_size": 11},
        inner={"epochs": 2, "batch_size": 8, "optimiser": {"name": optimiser}},
    )
    run = finetune(recipe).folder
    gamma = pd.read_csv(run / "modulators.csv")["gamma"]
    assert np.isfinite(gamma).all()
    assert (gamma != 1).all()
    assert pd.read_csv(run / "history.csv")["hypergradient_cosine"].between(-1, 1).all()


def test_bfloat16_trains_and_loads(tiny_recipe):
    inner = {"epochs": 1, "batch_size": 8}
    compute = {"precision": "bfloat16"}
    run = finetune(tiny_recipe(data=FEW_CHIPS, compute=compute, inner=inner)).folder
    assert load_run(run).logits(torch.zeros(1, 2, 64, 64)).isfinite().all()


def test_training_lowers_the_loss(tiny_recipe):
    recipe = tiny_recipe(inner={"epochs": 6, "batch_size": 8})
    history = pd.read_csv(finetune(recipe).folder / "history.csv")
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]


def test_the_stored_recipe_repeats_the_run(finished_run, tmp_path):
    _, run = finished_run
    recipe = read_recipe(Recipe, run / "recipe.yaml", [f"runs={tmp_path}"])
    again = finetune(recipe).folder
    assert digest(again, "model.safetensors") == digest(run, "model.safetensors")


def test_an_unknown_block_is_one_line_and_leaves_nothing(tiny_recipe, tmp_path):
    with pytest.raises(RecipeError, match="the backbone has 8 blocks"):
        finetune(tiny_recipe(peft={"blocks": [11]}))
    assert not list((tmp_path / "runs").iterdir())


def test_a_failing_run_leaves_the_previous_one_as_latest(tmp_path):
    with new_run(tmp_path, "good") as draft:
        (draft / "file").write_text("kept")
    with pytest.raises(ZeroDivisionError), new_run(tmp_path, "bad") as draft:
        (draft / "file").write_text("lost")
        raise ZeroDivisionError
    assert (tmp_path / "latest" / "file").read_text() == "kept"
    assert sorted(p.name.partition("-")[0] for p in tmp_path.iterdir()) == ["good", "latest"]


# --- broken runs ----------------------------------------------------------------------------------


@pytest.fixture
def copied_run(finished_run, tmp_path):
    return shutil.copytree(finished_run[1], tmp_path / "copy")


@pytest.mark.parametrize("name", ["recipe.yaml", "model.safetensors"])
def test_a_run_with_a_missing_file_is_refused(copied_run, name):
    (copied_run / name).unlink()
    with pytest.raises(RunError, match=f"lacks {name}"):
        load_run(copied_run)


def test_a_truncated_model_is_refused(copied_run):
    content = (copied_run / "model.safetensors").read_bytes()
    (copied_run / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match="damaged"):
        load_run(copied_run)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("peft", {"method": "lora", "rank": 4}, "does not hold the tensors"),
        ("peft", {"method": "linear_probe"}, "does not hold the tensors"),
        ("data", {"source": "simulator", "sensor": "optical"}, "different bands"),
    ],
)
def test_a_recipe_that_does_not_fit_the_model_is_refused(copied_run, section, values, message):
    recipe = yaml.safe_load((copied_run / "recipe.yaml").read_text())
    (copied_run / "recipe.yaml").write_text(yaml.safe_dump(recipe | {section: values}))
    with pytest.raises(RunError, match=message):
        load_run(copied_run)


def test_other_backbone_weights_are_refused(copied_run, monkeypatch):
    from rsmeta.models import weights

    load = weights.load_weights

    def changed(name, file):
        found = load(name, file)
        found.state["norm.bias"] += 1
        return found

    monkeypatch.setattr("rsmeta.models.backbones.load_weights", changed)
    with pytest.raises(RunError, match="other weights of 'embedded'"):
        load_run(copied_run)
