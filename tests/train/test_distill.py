import json

import pytest
import timm
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer

RECIPE = {
    "chips_per_class": 3,
    "epochs": 4,
    "batch_size": 11,
    "student": {"image_size": 32, "embed_dim": 12, "depth": 1, "num_heads": 2},
}


@pytest.fixture
def teacher(tmp_path):
    """A small timm ViT with random weights in a file."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0)
    save_file(model.state_dict(), tmp_path / "teacher.safetensors")
    file = str(tmp_path / "teacher.safetensors")
    return {"name": "timm:test_vit", "file": file, "image_size": 32}


@pytest.fixture
def distilled(rsmeta_command, tmp_path):
    """Runs `rsmeta distill` on a recipe; returns the file and what was printed."""

    def run(recipe, name="student.safetensors"):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        done = rsmeta_command("distill", "recipe.yaml", name, cwd=tmp_path)
        return tmp_path / name, done.stdout

    return run


def losses(output):
    return [float(line.split()[-1]) for line in output.splitlines() if "loss" in line]


@pytest.mark.parametrize("taught", [False, True])
def test_the_student_learns_and_can_be_loaded(distilled, teacher, taught):
    path, output = distilled(RECIPE | ({"teacher": teacher} if taught else {}))
    assert losses(output)[-1] < losses(output)[0]
    with safe_open(path, framework="pt") as stored:
        made = json.loads(stored.metadata()["rsmeta"])
    model = VisionTransformer(img_size=32, num_classes=0, **made["architecture"])
    model.load_state_dict(load_file(path))
    assert made["recipe"]["chips_per_class"] == 3


def test_equal_recipes_give_equal_bytes(distilled):
    first, second = distilled(RECIPE, "a.safetensors")[0], distilled(RECIPE, "b.safetensors")[0]
    assert first.read_bytes() == second.read_bytes()
