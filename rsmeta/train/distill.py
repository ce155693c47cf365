"""Pretraining a small ViT on simulated optical chips, taught by a large one.

This makes the backbone that ships inside the package. The student learns the classes of the
simulator and, where a teacher is given, to predict the teacher's class token and patch tokens.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from rsmeta.bands import SimulatedSensor, sensor
from rsmeta.data.simulator import CLASSES, simulate_chips
from rsmeta.models.backbones import build_backbone
from rsmeta.recipe import Section
from rsmeta.train.schedule import warm_cosine

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_SEED_OFFSET = 2**31  # the seeds of data sets are below it: the backbone has not seen their ground
Report = Callable[[str], None]


class StudentConfig(Section):
    """Shape of the student, in the terms of timm's `VisionTransformer`."""

    image_size: int = Field(default=64, gt=0)
    patch_size: int = Field(default=8, gt=0)
    embed_dim: int = Field(default=192, gt=0)
    depth: int = Field(default=8, gt=0)
    num_heads: int = Field(default=3, gt=0)

    @property
    def architecture(self) -> dict[str, int]:
        """Keyword arguments of `VisionTransformer` without the image size."""
        return self.model_dump(exclude={"image_size"})


class TeacherConfig(Section):
    """The pretrained ViT whose tokens the student predicts."""

    name: str
    file: Path | None = None
    image_size: int = Field(gt=0)


class DistillRecipe(Section):
    """How the embedded backbone is made."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    chips_per_class: int = Field(default=1000, gt=0)
    epochs: int = Field(default=12, gt=0)
    batch_size: int = Field(default=64, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    student: StudentConfig = StudentConfig()
    teacher: TeacherConfig | None = None


@dataclass(frozen=True)
class _Lesson:
    """What the student learns from: standardised chips, classes, centred teacher tokens."""

    images: Tensor
    labels: Tensor
    tokens: Tensor | None


def distill(recipe: DistillRecipe, output: Path, report: Report) -> None:
    """Pretrain the student and write it as a safetensors file in half precision.

    Args:
        recipe: Settings.
        output: File to write; its metadata hold the architecture and the recipe.
        report: Called with a line of progress now and then.
    """
    lesson = _prepare(recipe, report)
    torch.manual_seed(recipe.seed)
    student = VisionTransformer(
        img_size=recipe.student.image_size, num_classes=0, **recipe.student.architecture
    )
    _train(student, lesson, recipe, report)
    state = {name: tensor.half().contiguous() for name, tensor in student.state_dict().items()}
    settings = recipe.model_dump(mode="json")
    if settings["teacher"] is not None:
        settings["teacher"].pop("file")  # where the file lay says nothing about the result
    made = {"architecture": recipe.student.architecture, "recipe": settings}
    output.parent.mkdir(parents=True, exist_ok=True)
    # One entry alone: safetensors writes several in random order.
    save_file(state, output, metadata={"rsmeta": json.dumps(made)})


def _prepare(recipe: DistillRecipe, report: Report) -> _Lesson:
    counts = [recipe.chips_per_class] * len(CLASSES)
    report(f"simulating {sum(counts)} optical chips")
    size = recipe.student.image_size
    seed = recipe.seed + _SEED_OFFSET
    chips = simulate_chips(counts, size, SimulatedSensor.OPTICAL, seed)
    images = torch.from_numpy(chips.images)
    tokens = None
    if recipe.teacher is not None:
        report(f"reading {recipe.teacher.name}'s tokens")
        tokens = _teacher_tokens(images, recipe.teacher, recipe.batch_size)
        tokens = tokens - tokens.mean(dim=0, keepdim=True)
    mean = images.mean(dim=(0, 2, 3), keepdim=True)
    std = images.std(dim=(0, 2, 3), keepdim=True)
    return _Lesson((images - mean) / std, torch.from_numpy(chips.labels), tokens)


@torch.no_grad()
def _teacher_tokens(images: Tensor, teacher: TeacherConfig, batch_size: int) -> Tensor:
    """Class token and patch tokens of the teacher, (chips, 1 + patches, width)."""
    model = build_backbone(
        teacher.name, teacher.file, teacher.image_size, sensor("rgb").bands
    ).model.eval()
    mean = torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1)
    size = [teacher.image_size, teacher.image_size]
    outputs = []
    for batch in images.split(batch_size):
        resized = F.interpolate(batch / 255, size=size, mode="bicubic", antialias=True)
        tokens = model.forward_features((resized - mean) / std)
        patches = tokens[:, model.num_prefix_tokens :]
        outputs.append(torch.cat([tokens[:, :1], patches], dim=1))
    return torch.cat(outputs)


def _train(
    student: VisionTransformer, lesson: _Lesson, recipe: DistillRecipe, report: Report
) -> None:
    width = recipe.student.embed_dim
    classifier = nn.Linear(width, len(CLASSES))
    teacher_width = 1 if lesson.tokens is None else lesson.tokens.shape[2]
    projection = nn.Linear(width, teacher_width)
    parameters = [*student.parameters(), *classifier.parameters(), *projection.parameters()]
    optimiser = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps_per_epoch = len(lesson.labels) // recipe.batch_size
    steps = recipe.epochs * steps_per_epoch
    schedule = warm_cosine(optimiser, [steps], warm_up=0.1)
    generator = torch.Generator().manual_seed(recipe.seed)
    for epoch in range(recipe.epochs):
        total = torch.zeros(())
        for index in _batches(len(lesson.labels), recipe.batch_size, generator):
            tokens = student.forward_features(lesson.images[index])
            loss = F.cross_entropy(classifier(tokens[:, 0]), lesson.labels[index])
            if lesson.tokens is not None:
                loss = 0.5 * loss + _token_distance(projection, tokens, lesson.tokens[index])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            total += loss.detach()
        report(f"epoch {epoch + 1}/{recipe.epochs}: loss {float(total) / steps_per_epoch:.4f}")


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(count, generator=generator)
    return iter(order[: count - count % size].split(size))


def _token_distance(projection: nn.Linear, tokens: Tensor, taught: Tensor) -> Tensor:
    """Mean cosine distance of the class token plus that of the patch tokens on a common grid."""
    student_side = round((tokens.shape[1] - 1) ** 0.5)
    teacher_side = round((taught.shape[1] - 1) ** 0.5)
    grid = tokens[:, 1:].transpose(1, 2).unflatten(2, (student_side, student_side))
    grid = F.interpolate(grid, size=[teacher_side, teacher_side], mode="area")
    patches = projection(grid.flatten(2).transpose(1, 2))
    class_distance = 1 - F.cosine_similarity(projection(tokens[:, 0]), taught[:, 0], dim=-1)
    patch_distance = 1 - F.cosine_similarity(patches, taught[:, 1:], dim=-1)
    return class_distance.mean() + patch_distance.mean()
