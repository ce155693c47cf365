"""A problem whose answer is known: one position is useful, another can only be overfitted to."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from rsmeta.meta.engines import ENGINES
from rsmeta.meta.inner_optimiser import build_inner_optimiser
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.meta.problem import BilevelProblem
from rsmeta.meta.recorder import TrajectoryRecorder
from rsmeta.peft.lora import LoRALinear
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import Site
from rsmeta.recipe import InnerLoop, OuterLoop, Position

CLASSES, SIGNALS, NOISE, RANK = 4, 8, 24, 3
USEFUL, USELESS = Site(0, Position.FC1), Site(0, Position.FC2)


class TwoPositions(nn.Module):
    """Frozen layers that know nothing, each with LoRA; the second is fed noise."""

    def __init__(self):
        super().__init__()
        self.bank = ModulatorBank([USEFUL, USELESS], [1.0, 1.0], learned=True)
        for name, site, width in [("useful", USEFUL, SIGNALS), ("useless", USELESS, NOISE)]:
            base = nn.Linear(width, CLASSES).requires_grad_(False)
            base.weight.data.zero_()
            setattr(self, name, LoRALinear(base, [site], RANK, 1.0, self.bank))

    def forward(self, signals, noise):
        return self.useful(signals) + self.useless(noise)


class Problem:
    """Chips to train on, whose class is a function of the signals, and others to judge."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.model = TwoPositions().double()
        self.names = [
            n for n, p in self.model.named_parameters() if p.requires_grad and n != "bank.rho"
        ]
        self.teacher = torch.randn(SIGNALS, CLASSES, dtype=torch.float64)
        self.train, self.validation = self.chips(200), self.chips(200)

    def chips(self, count):
        signals = torch.randn(count, SIGNALS, dtype=torch.float64)
        noise = torch.randn(count, NOISE, dtype=torch.float64)
        return {"image": (signals, noise), "label": (signals @ self.teacher).argmax(dim=1)}

    def loss(self, parameters, rho, batch):
        values = dict(zip(self.names, parameters, strict=True)) | {"bank.rho": rho}
        return F.cross_entropy(functional_call(self.model, values, batch["image"]), batch["label"])

    def learn(self, engine, steps=60, every=3):
        """Train adapters and modulators; the modulators at the end."""
        inner = InnerLoop(learning_rate=0.05, weight_decay=0.0)
        named = dict(self.model.named_parameters())
        parameters = [named[name] for name in self.names]
        optimiser = build_inner_optimiser(inner, parameters)
        recorder = TrajectoryRecorder(inner, optimiser, parameters)
        outer = OuterStep(OuterLoop(learning_rate=0.05, engine=engine), inner, self.model.bank)
        problem = BilevelProblem(self.loss, self.loss)
        for number in range(1, steps + 1):
            optimiser.zero_grad()
            self.loss(parameters, self.model.bank.rho, self.train).backward(inputs=parameters)
            optimiser.step()
            recorder.add(self.train, inner.learning_rate)
            if number % every == 0:
                outer(problem, recorder.finish(), [self.validation])
        return self.model.bank.values()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("engine", ENGINES)
def test_the_modulator_of_a_useless_position_falls_and_that_of_a_useful_one_rises(engine, seed):
    gamma = Problem(seed).learn(engine)
    assert gamma[USELESS] < 0.9
    assert gamma[USEFUL] > 1.2


def test_trained_on_the_training_loss_the_useless_position_rises_too():
    """What makes the answer known is the validation split, not the problem alone."""
    problem = Problem(0)
    problem.validation = problem.train
    assert problem.learn("first_order")[USELESS] > 1.05
