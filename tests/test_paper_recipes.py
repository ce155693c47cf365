"""The paper's recipes on stand-ins: its data sets' own files with a few tiny images in them."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from cifar_files import write_cifar100
from PIL import Image
from typer.testing import CliRunner

from rsmeta.cli import app
from rsmeta.finetuning import finetune
from rsmeta.longtail.metrics import Group
from rsmeta.recipe import Adapter, AdaptFormer, Lora, Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.study.cells import cells_of
from rsmeta.study.config import Study
from rsmeta.validation import validate_recipe

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes" / "paper").glob("*.yaml"))
STUDY = ROOT / "recipes" / "studies" / "paper.yaml"
LEVELS = {
    "CIFAR-100-LT": "cifar100_lt",
    "Places-LT": "places_lt",
    "iNaturalist 2018": "inaturalist2018",
    "DOTA": "dota",
    "FUSRS": "fusrs",
}
COUNTS = {"cargo": 6, "tree house": 3, "dredger": 1}
GROUPS = {"many_classes": ["dredger"], "med_classes": ["cargo"], "few_classes": ["tree house"]}
NAMES = {
    "PLACES_LT": ("Places_LT_train.txt", "Places_LT_test.txt"),
    "INATURALIST": ("iNaturalist18_train.txt", "iNaturalist18_val.txt"),
    "DOTA": ("dota_train_idx.txt", "dota_val_idx.txt"),
    "FUSRS": ("train.txt", "test.txt"),
}
CLASS_NAMES = {
    "PLACES_LT": ("classnames.txt", "".join(f"f{i} {name}\n" for i, name in enumerate(COUNTS))),
    "INATURALIST": (
        "categories.json",
        json.dumps([{"id": i, "name": name} for i, name in enumerate(COUNTS)]),
    ),
    "DOTA": ("classnames.txt", "\n".join(COUNTS)),
    "FUSRS": ("classnames.txt", "\n".join(COUNTS)),
}


def write_lists(folder, variable, mode):
    """Write a data set as it is published: lists, names, groups and images of any size."""
    rng = np.random.default_rng(0)
    for name, counts in zip(NAMES[variable], (COUNTS.values(), [1, 1, 1]), strict=True):
        lines = []
        for label, count in enumerate(counts):
            for index in range(count):
                path = folder / name.removesuffix(".txt") / f"{label} {index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                height, width = rng.integers(20, 40, 2)
                pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
                Image.fromarray(pixels).convert("L" if index == 0 else mode).save(path)
                lines.append(f"{path.relative_to(folder)} {label}")
        (folder / name).write_text("\n".join(lines))
    file, names = CLASS_NAMES[variable]
    (folder / file).write_text(names)
    (folder / "lt_split_config.yaml").write_text(yaml.safe_dump(GROUPS))


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """All data sets and weights in miniature; the overrides that a small backbone needs."""
    for variable in NAMES:
        (tmp_path / variable).mkdir()
        write_lists(tmp_path / variable, variable, "L" if variable == "FUSRS" else "RGB")
        monkeypatch.setenv(variable, str(tmp_path / variable))
    write_cifar100(tmp_path / "cifar", monkeypatch, classes=4, train=100, test=1)
    monkeypatch.setenv("CIFAR100", str(tmp_path / "cifar"))
    torch.manual_seed(0)
    state = timm.create_model("test_vit", num_classes=0, img_size=32).state_dict()
    state |= {"mask_token": torch.zeros(1, 1, 8), "decoder_blocks.0.norm1.weight": torch.ones(8)}
    monkeypatch.setenv("SATMAE", str(tmp_path / "fmow_pretrain.pth"))
    torch.save({"model": state}, tmp_path / "fmow_pretrain.pth")
    return [
        "backbone.name=timm:test_vit",
        f"backbone.file={tmp_path / 'fmow_pretrain.pth'}",
        "backbone.image_size=32",
        f"runs={tmp_path / 'runs'}",
    ]


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
@pytest.mark.parametrize("method", ["lora", "adaptformer", "adapter"])
def test_the_papers_recipes_are_valid(stand_ins, file, method):
    recipe = read_recipe(Recipe, file, [*stand_ins, f"peft.method={method}"])
    assert recipe.name == file.stem
    assert recipe.learns_modulators
    checked = validate_recipe(recipe)
    if file.stem == "cifar100_lt":
        assert checked.inspected.data.train_counts.tolist() == [100, 21, 4, 1]
        return
    assert checked.inspected.data.classes == tuple(COUNTS)
    assert checked.inspected.data.train_counts.tolist() == list(COUNTS.values())
    given = {Group.HEAD: ["dredger"], Group.MEDIUM: ["cargo"], Group.TAIL: ["tree house"]}
    counted = {Group.HEAD: [], Group.MEDIUM: [], Group.TAIL: list(COUNTS)}
    found = {group: [name for name, _ in members] for group, members in checked.groups.items()}
    assert found == (given if file.stem in ("dota", "fusrs") else counted)


def test_the_architectures_are_those_of_the_paper():
    names = {file.stem: read_recipe(Recipe, file).backbone.name for file in RECIPES}
    assert names.pop("fusrs") == "timm:vit_large_patch16_224"
    assert set(names.values()) == {"timm:vit_base_patch16_224.augreg_in21k"}
    assert set(LEVELS.values()) == {"fusrs", *names}


def test_the_study_runs_the_recipes_as_they_are():
    study = read_recipe(Study, STUDY)
    recipes = {file.stem: read_recipe(Recipe, file) for file in RECIPES}
    kinds = {"LoRA": Lora, "AdaptFormer": AdaptFormer, "Adapter": Adapter}
    cells = cells_of(study, STUDY.parent)
    assert len(cells) == 5 * 3 * 2 * len(study.seeds)
    for cell in cells:
        recipe, kind = recipes[LEVELS[cell.levels["data"]]], kinds[cell.levels["method"]]
        assert isinstance(cell.recipe.peft, kind)
        assert cell.recipe.learns_modulators == (cell.variant == "MetaPEFT")
        changed = {"name", "seed", "peft"}
        assert cell.recipe.model_dump(exclude=changed) == recipe.model_dump(exclude=changed)
        if kind is Lora and cell.variant == "MetaPEFT":
            assert cell.recipe.peft == recipe.peft


def test_validate_tells_imbalance_and_groups(stand_ins):
    overrides = [part for override in stand_ins for part in ("--set", override)]
    command = ["validate", str(ROOT / "recipes" / "paper" / "dota.yaml"), *overrides]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    lines = dict(line.split(":", 1) for line in done.output.splitlines() if ":" in line)
    assert lines["imbalance"].split()[0] == "6"
    assert lines["head"].strip() == "dredger (1)"
    assert lines["tail"].strip() == "tree house (3)"


def test_a_run_tells_counts_imbalance_and_given_groups(stand_ins):
    changes = ["inner.epochs=1", "inner.batch_size=4", "compute.precision=float32"]
    changes += ["outer.batch_size=3", "outer.every=1", "augmentation.geometry=none"]
    run = finetune(read_recipe(Recipe, ROOT / "recipes/paper/fusrs.yaml", [*stand_ins, *changes]))
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["train_counts"] == COUNTS
    assert metrics["imbalance_factor"] == 6
    assert metrics["groups"] == {
        "head": ["dredger"], "medium": ["cargo"], "tail": ["tree house"],
    }  # fmt: skip
    report = (run.folder / "report.html").read_text()
    assert "imbalance" in report
    assert "train_counts" not in report
