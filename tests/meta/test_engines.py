import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.func import functional_call
from torch.nn import functional as F

from rsmeta.meta.engines import ENGINES, build_engine
from rsmeta.meta.inner_optimiser import build_inner_optimiser
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.meta.problem import BilevelProblem
from rsmeta.meta.recorder import TrajectoryRecorder
from rsmeta.peft.methods import adapt
from rsmeta.recipe import InnerLoop, Lora, OuterLoop

SGD = InnerLoop(learning_rate=0.01, weight_decay=5e-4)
ADAMW = InnerLoop(learning_rate=0.003, weight_decay=0.01, optimiser={"name": "adamw"})


class Small:
    """A small float64 ViT with LoRA and a trainable head, and batches to train it with."""

    def __init__(self, start_at_zero=True):
        torch.manual_seed(0)
        self.model = VisionTransformer(
            img_size=16, patch_size=8, embed_dim=12, depth=2, num_heads=2, num_classes=3
        ).requires_grad_(False)
        self.bank = adapt(Lora(rank=2), self.model)
        self.model.head.requires_grad_(True)
        self.model.modulators = self.bank
        self.model.double()
        self.bank.rho.data += 0.3 * torch.randn_like(self.bank.rho)
        self.names = [
            n for n, p in self.model.named_parameters() if p.requires_grad and n != "modulators.rho"
        ]
        if not start_at_zero:
            for parameter in self.parameters:
                parameter.data += 0.2 * torch.randn_like(parameter)
        self.training = [self.batch() for _ in range(12)]
        self.validation = [self.batch() for _ in range(2)]
        self.problem = BilevelProblem(self.loss, self.loss)

    @property
    def parameters(self):
        named = dict(self.model.named_parameters())
        return [named[name] for name in self.names]

    def batch(self):
        label = torch.randint(3, (8,))
        image = torch.randn(8, 3, 16, 16) + label[:, None, None, None]
        return {"image": image.double(), "label": label}

    def loss(self, parameters, rho, batch):
        values = dict(zip(self.names, parameters, strict=True)) | {"modulators.rho": rho}
        return F.cross_entropy(
            functional_call(self.model, values, (batch["image"],)), batch["label"]
        )

    def train(self, inner, steps, warm_up):
        """Inner steps by torch's own optimiser; the trajectory of the last of them."""
        optimiser = build_inner_optimiser(inner, self.parameters)
        recorder = TrajectoryRecorder(inner, optimiser, self.parameters)
        for number in range(warm_up + steps):
            if number == warm_up:
                recorder.finish()
            rate = inner.learning_rate * (1 - 0.05 * number)
            optimiser.param_groups[0]["lr"] = rate
            batch = self.training[number]
            optimiser.zero_grad()
            self.loss(self.parameters, self.bank.rho, batch).backward(inputs=self.parameters)
            optimiser.step()
            recorder.add(batch, rate)
        optimiser.zero_grad()
        return recorder.finish()

    def validation_loss(self, parameters, rho):
        losses = [self.loss(parameters, rho, batch) for batch in self.validation]
        return float(sum(losses).detach() / len(losses))


def differences(value, rho, step=1e-5):
    """Central finite differences of a function of rho, of fourth order: rounding weighs least."""
    gradient = torch.zeros_like(rho)
    for index in range(len(rho)):
        for times, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
            moved = rho.detach().clone()
            moved[index] += times * step
            gradient[index] += weight * value(moved) / step
    return gradient


def exact(small, inner, trajectory):
    """The hypergradient by training again, by torch's own optimiser, with rho moved a little."""

    def after(rho):
        parameters = [p.clone().requires_grad_() for p in trajectory.start.parameters]
        optimiser = build_inner_optimiser(inner, parameters)
        for parameter, *moments in zip(parameters, *trajectory.start.moments, strict=True):
            if trajectory.start.count or any(m.abs().sum() > 0 for m in moments):
                names = ["momentum_buffer"] if len(moments) == 1 else ["exp_avg", "exp_avg_sq"]
                state = {n: m.clone() for n, m in zip(names, moments, strict=True)}
                if len(moments) == 2:
                    state["step"] = torch.tensor(float(trajectory.start.count))
                optimiser.state[parameter] = state
        for step in trajectory.steps:
            optimiser.param_groups[0]["lr"] = step.learning_rate
            optimiser.zero_grad()
            small.loss(parameters, rho, step.batch).backward()
            optimiser.step()
        return small.validation_loss(parameters, rho)

    return differences(after, small.bank.rho)


def test_first_order_equals_differences_with_fixed_adapters():
    small = Small(start_at_zero=False)
    trajectory = small.train(SGD, 2, 0)
    engine = build_engine("first_order", SGD)
    found = engine(small.problem, trajectory, small.bank.rho, small.validation)
    parameters = trajectory.end.parameters
    expected = differences(lambda rho: small.validation_loss(parameters, rho), small.bank.rho)
    torch.testing.assert_close(found.gradient, expected, rtol=1e-6, atol=1e-9)
    loss = small.validation_loss(parameters, small.bank.rho)
    assert found.validation_loss == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("inner", [SGD, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("warm_up", [0, 4])
@pytest.mark.parametrize("start_at_zero", [True, False])
def test_unrolled_is_exact(inner, steps, warm_up, start_at_zero):
    small = Small(start_at_zero)
    trajectory = small.train(inner, steps, warm_up)
    engine = build_engine("unrolled", inner)
    found = engine(small.problem, trajectory, small.bank.rho, small.validation)
    expected = exact(small, inner, trajectory)
    assert found.gradient.isfinite().all()
    error = (found.gradient - expected).norm() / expected.norm()
    assert error <= 1e-6


@pytest.mark.parametrize("inner", [SGD, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_finite_differences_point_along_the_exact_hypergradient(inner, steps):
    small = Small()
    trajectory = small.train(inner, steps, 4)
    arguments = (small.problem, trajectory, small.bank.rho, small.validation)
    found = build_engine("finite_difference", inner)(*arguments).gradient
    judge = build_engine("unrolled", inner)(*arguments).gradient
    assert F.cosine_similarity(found, judge, dim=0) >= 0.8


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_leaves_everything_as_it_was(name):
    small = Small()
    trajectory = small.train(SGD, 3, 1)
    state = {key: value.clone() for key, value in small.model.state_dict().items()}
    random_state = torch.get_rng_state()
    build_engine(name, SGD)(small.problem, trajectory, small.bank.rho, small.validation)
    assert all(torch.equal(v, state[key]) for key, v in small.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(p.grad is None for p in small.model.parameters())


def test_first_order_steps_lower_the_validation_loss():
    small = Small(start_at_zero=False)
    trajectory = small.train(SGD, 2, 0)
    step = OuterStep(OuterLoop(learning_rate=0.05), SGD, small.bank)
    records = [step(small.problem, trajectory, small.validation) for _ in range(15)]
    assert records[-1].loss < records[0].loss - 1e-3


@pytest.mark.parametrize("name", ENGINES)
def test_outer_steps_touch_the_modulators_alone(name):
    small = Small(start_at_zero=False)
    trajectory = small.train(SGD, 2, 0)
    before = [p.detach().clone() for p in small.parameters]
    rho = small.bank.rho.detach().clone()
    step = OuterStep(OuterLoop(learning_rate=0.05, engine=name), SGD, small.bank)
    records = [step(small.problem, trajectory, small.validation) for _ in range(3)]
    assert (small.bank.rho != rho).all()
    assert records[0].cosine is None
    assert all(-1 <= record.cosine <= 1 for record in records[1:])
    assert all(map(torch.equal, before, small.parameters))
    assert small.bank.rho.grad is None


def test_the_guard_skips_steps_after_a_jump_of_the_loss_until_its_mean_has_followed():
    small = Small(start_at_zero=False)
    trajectory = small.train(SGD, 1, 0)
    step = OuterStep(OuterLoop(margin=0.5), SGD, small.bank)
    step(small.problem, trajectory, small.validation)
    jumped = BilevelProblem(small.loss, lambda *arguments: 5 + small.loss(*arguments))
    rho = small.bank.rho.detach().clone()
    record = step(jumped, trajectory, small.validation)
    assert record.skipped
    assert torch.equal(small.bank.rho, rho)
    for _ in range(60):
        record = step(jumped, trajectory, small.validation)
    assert not record.skipped


def test_clipping_bounds_the_step_of_plain_gradients():
    small = Small(start_at_zero=False)
    trajectory = small.train(SGD, 1, 0)
    moved = []
    for clip in (None, 1e-12):
        copy = Small(start_at_zero=False)
        rho = copy.bank.rho.detach().clone()
        step = OuterStep(OuterLoop(clip=clip), SGD, copy.bank)
        step(copy.problem, trajectory, copy.validation)
        moved.append((copy.bank.rho - rho).abs().max().item())
    # Adam divides by the gradient's size, up to its epsilon of 1e-8.
    assert moved[1] < 1e-2 * moved[0]
