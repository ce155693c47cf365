"""The hypergradient in the modulators of bands, against training again with rho moved a little."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.func import functional_call
from torch.nn import functional as F

from rsmeta.meta.engines import build_engine
from rsmeta.meta.inner_optimiser import build_inner_optimiser
from rsmeta.meta.problem import BilevelProblem
from rsmeta.meta.recorder import TrajectoryRecorder
from rsmeta.peft.band_kernels import BandTraining
from rsmeta.peft.methods import adapt
from rsmeta.recipe import AdaptFormer, InnerLoop, Lora

INNER = InnerLoop(learning_rate=0.02)
BANDS = ("VV", "VH")


class Small:
    """A float64 ViT for two bands whose mixing, band updates, adapters and head train."""

    def __init__(self, config):
        torch.manual_seed(0)
        self.model = VisionTransformer(
            img_size=16, patch_size=8, in_chans=2, embed_dim=12, depth=1, num_heads=2, num_classes=3
        ).requires_grad_(False)
        training = BandTraining(BANDS, torch.randn(12, 3, 8, 8), 2, torch.full((2, 3), 0.5))
        self.model.modulators = adapt(config, self.model, None, training)
        self.model.head.requires_grad_(True)
        self.model.double()
        self.rho = self.model.modulators.rho
        self.rho.data += 0.3 * torch.randn_like(self.rho)
        self.named = {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad and name != "modulators.rho"
        }
        for parameter in self.named.values():
            parameter.data += 0.1 * torch.randn_like(parameter)
        self.batches = [self.batch() for _ in range(4)]
        self.problem = BilevelProblem(self.loss, self.loss)

    def batch(self):
        label = torch.randint(3, (6,))
        image = torch.randn(6, 2, 16, 16).double() + label[:, None, None, None]
        return {"image": image, "label": label}

    def loss(self, parameters, rho, batch):
        values = dict(zip(self.named, parameters, strict=True)) | {"modulators.rho": rho}
        return F.cross_entropy(
            functional_call(self.model, values, (batch["image"],)), batch["label"]
        )

    def train(self, parameters, rho):
        optimiser = build_inner_optimiser(INNER, parameters)
        recorder = TrajectoryRecorder(INNER, optimiser, parameters)
        for batch in self.batches[:3]:
            optimiser.zero_grad()
            self.loss(parameters, rho, batch).backward(inputs=parameters)
            optimiser.step()
            recorder.add(batch, INNER.learning_rate)
        optimiser.zero_grad()
        return recorder.finish()


@pytest.mark.parametrize("config", [Lora(rank=2), AdaptFormer(rank=2)], ids=lambda c: c.method)
def test_unrolled_is_exact_in_the_modulators_of_bands(config):
    small = Small(config)
    start = [p.detach().clone() for p in small.named.values()]
    trajectory = small.train([p.clone().requires_grad_() for p in start], small.rho)
    validation = small.batches[3:]
    engine = build_engine("unrolled", INNER)
    found = engine(small.problem, trajectory, small.rho, validation).gradient[: len(BANDS)]

    def after(rho):
        end = small.train([p.clone().requires_grad_() for p in start], rho).end.parameters
        return float(small.loss(end, rho, validation[0]))

    expected = torch.zeros_like(found)
    for index in range(len(BANDS)):
        sides = []
        for sign in (1, -1):
            moved = small.rho.detach().clone()
            moved[index] += sign * 1e-6
            sides.append(after(moved))
        expected[index] = (sides[0] - sides[1]) / 2e-6
    assert [str(site) for site in small.model.modulators.sites[:2]] == ["band VV", "band VH"]
    assert expected.abs().min() > 1e-6
    assert (found - expected).norm() / expected.norm() <= 1e-6
