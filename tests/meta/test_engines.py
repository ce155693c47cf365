import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional as F

from rsmeta.meta.engines import ENGINES
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.peft.methods import adapt
from rsmeta.recipe import Lora, OuterLoop


@pytest.fixture
def problem():
    """A small float64 ViT with trained-looking adapters, two batches and their loss."""
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=12, depth=2, num_heads=2, num_classes=3
    ).requires_grad_(False)
    bank = adapt(Lora(rank=2), model)
    model.double()
    bank.double()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.3)
    bank.rho.data += torch.randn_like(bank.rho)
    batches = [
        {"image": torch.randn(6, 3, 16, 16).double(), "label": torch.randint(3, (6,))}
        for _ in range(2)
    ]

    def loss(batch):
        return F.cross_entropy(model(batch["image"]), batch["label"])

    return model, bank, batches, loss


def test_first_order_equals_central_differences(problem):
    _, bank, batches, loss = problem
    found = ENGINES["first_order"](loss, bank.rho, batches)
    step = 1e-5
    expected = torch.zeros_like(bank.rho)
    with torch.no_grad():
        for index in range(len(bank.rho)):
            sides = []
            for sign in (1, -1):
                bank.rho[index] += sign * step
                sides.append(sum(loss(batch) for batch in batches) / len(batches))
                bank.rho[index] -= sign * step
            expected[index] = (sides[0] - sides[1]) / (2 * step)
    torch.testing.assert_close(found.gradient, expected, rtol=1e-6, atol=1e-9)
    assert found.validation_loss == pytest.approx(float(sum(map(loss, batches)).detach() / 2))


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_leaves_everything_as_it_was(problem, name):
    model, bank, batches, loss = problem
    state = {key: value.clone() for key, value in model.state_dict().items()}
    rho, random_state = bank.rho.detach().clone(), torch.get_rng_state()
    ENGINES[name](loss, bank.rho, batches)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(bank.rho, rho)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(p.grad is None for p in [*model.parameters(), bank.rho])


def test_outer_steps_lower_the_validation_loss_and_touch_the_modulators_alone(problem):
    model, bank, batches, loss = problem
    trained = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    step = OuterStep(OuterLoop(learning_rate=0.05), bank)
    losses = [step(loss, batches).validation_loss for _ in range(20)]
    assert losses[-1] < losses[0] - 1e-3
    assert all(torch.equal(dict(model.named_parameters())[n], p) for n, p in trained.items())
    assert bank.rho.grad is None
