import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import small
from torch.nn import functional as F

from rsmeta.data.outer_split import OuterSplitter
from rsmeta.data.sources import load_data
from rsmeta.errors import RecipeError
from rsmeta.finetuning import finetune
from rsmeta.longtail.losses import log_prior
from rsmeta.meta.class_prior import STRONGEST, ClassPrior, ClassPriorStep, balancing_strength
from rsmeta.runs import load_run

COUNTS = np.array([90, 9, 1])
LEARNING = 2
pytestmark = pytest.mark.usefixtures("without_report")


def prior(rate=0.1, classes=3, dtype=torch.float64):
    shift = torch.zeros(classes, dtype=dtype)
    return shift, ClassPriorStep(shift, log_prior(COUNTS[:classes]), rate)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("strength", [0.0, 0.7, 2.0])
def test_the_derivative_is_that_of_the_cross_entropy(batch, strength):
    generator = torch.Generator().manual_seed(batch)
    logits = torch.randn(batch, 3, generator=generator, dtype=torch.float64) * 3
    labels = torch.randint(3, (batch,), generator=generator)
    shares = torch.tensor([0.9, 0.09, 0.01], dtype=torch.float64)
    kappa = torch.tensor(strength, dtype=torch.float64, requires_grad=True)
    F.cross_entropy(logits - kappa * shares.log(), labels).backward()
    _, step = prior()
    step.see(logits - strength * shares.log(), labels)
    (found,) = step._gradients
    assert float(found) == pytest.approx(float(kappa.grad), rel=1e-6)


def test_rare_classes_that_are_missed_raise_the_strength_until_they_are_not():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat(200)
    # A model that has learned the class shares along with what tells classes apart.
    learned = 2 * F.one_hot(labels, 3) + torch.randn(600, 3, generator=generator)
    learned = learned + log_prior(COUNTS).float()
    shift, step = prior(dtype=torch.float32)
    for _ in range(200):
        step.see(learned + shift, labels)
        step.step(skipped=False)
    assert step.strength == pytest.approx(1, abs=0.2)
    torch.testing.assert_close(shift, -step.strength * log_prior(COUNTS).float())


def test_the_mean_over_batches_moves_it_and_a_skipped_step_does_not():
    logits, labels = torch.zeros(2, 3, dtype=torch.float64), torch.tensor([2, 2])
    shift, step = prior(rate=0.1)
    step.see(logits, labels)
    step.step(skipped=True)
    assert step.strength == 0 and not shift.any()
    for label in (2, 2, 0):
        step.see(logits, torch.tensor([label, label]))
    step.step(skipped=False)
    assert step.strength == pytest.approx(0.1)


def test_it_goes_on_from_its_state():
    logits, labels = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 2])
    (_, whole), (shift, half) = prior(), prior()
    for step in [whole] * 4 + [half] * 2:
        step.see(logits, labels)
        step.step(skipped=False)
    shift, rest = prior()
    rest.load_state_dict(half.state_dict())
    assert float(shift[0]) == pytest.approx(float(-half.strength * log_prior(COUNTS)[0]))
    for _ in range(2):
        rest.see(logits, labels)
        rest.step(skipped=False)
    assert rest.strength == whole.strength


def test_the_inner_loop_does_not_see_it_and_predictions_do(tmp_path):
    """Adapters and head train as without it, bit for bit; the saved model has the shift."""
    outer = {"learning_rate": 0.0}
    plain = load_run(finetune(small(tmp_path / "a", outer=outer)).folder).classifier
    done = finetune(small(tmp_path / "b", outer=outer | {"class_prior": "learned"}))
    model = load_run(done.folder).classifier
    expected = plain.trained_state()
    state = model.trained_state()
    shift = state.pop("head.shift")
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    assert shift.std() > 0
    images = torch.randn(3, *model.mean.shape[1:2], 32, 32)
    torch.testing.assert_close(model(images), plain(images) + shift)


@pytest.mark.parametrize("prior", ["learned", "fitted"])
def test_without_an_outer_loop_it_is_refused(tmp_path, prior):
    with pytest.raises((RecipeError, ValueError), match=f"outer.class_prior {prior}"):
        small(tmp_path, peft={"modulators": "fixed"}, outer={"class_prior": prior})


def drawn(counts, seed, pull):
    """Logits, float64, in which `pull` times the log prior is mixed, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    noise = torch.randn(len(labels), len(counts), generator=generator, dtype=torch.float64)
    shares = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return 2 * F.one_hot(labels, len(counts)) + noise + pull * shares.log(), labels, shares.log()


@pytest.mark.parametrize("counts", [(90, 9, 1), (40, 40, 5), (3, 2, 2, 60)])
@pytest.mark.parametrize("pull", [0.0, 0.5, 1.5])
def test_the_fit_is_where_the_balanced_derivative_is_zero(counts, pull):
    for seed in range(3):
        logits, labels, prior = drawn(counts, seed, pull)
        kappa = torch.tensor(balancing_strength(logits, labels, prior), requires_grad=True)
        assert abs(kappa.item()) < STRONGEST - 0.1
        losses = F.cross_entropy(logits - kappa.double() * prior, labels, reduction="none")
        torch.stack([losses[labels == c].mean() for c in labels.unique()]).mean().backward()
        assert float(kappa.grad) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("tolerance", [0.01, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_a_tolerance_is_used_up_for_rare_classes(seed, tolerance):
    logits, labels, prior = drawn(tuple(COUNTS), seed, 1.0)

    def loss(kappa):
        each = F.cross_entropy(logits - kappa * prior, labels, reduction="none")
        return float(torch.stack([each[labels == c].mean() for c in labels.unique()]).mean())

    best = balancing_strength(logits, labels, prior)
    strength = balancing_strength(logits, labels, prior, tolerance)
    assert best + 0.05 < strength < STRONGEST
    assert loss(strength) == pytest.approx((1 + tolerance) * loss(best), rel=1e-5)
    assert balancing_strength(logits, labels, prior, 1e6) == STRONGEST


def test_equally_frequent_classes_need_no_prior():
    assert balancing_strength(*drawn((20, 20, 20), 0, 1.0)) == 0


def test_a_fit_writes_the_shift_and_is_kept_in_the_state():
    shift, restored = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    fitted = ClassPrior(shift, log_prior(COUNTS))
    assert fitted.strength == 0
    logits, labels, _ = drawn(tuple(COUNTS), 0, 1.0)
    fitted.fit(logits, labels)
    assert fitted.strength > 0.3
    torch.testing.assert_close(shift, -fitted.strength * log_prior(COUNTS))
    ClassPrior(restored, log_prior(COUNTS)).load_state_dict(fitted.state_dict())
    assert torch.equal(shift, restored)
    generous = ClassPrior(torch.zeros(3, dtype=torch.float64), log_prior(COUNTS), 0.02)
    generous.fit(logits, labels)
    assert generous.strength == balancing_strength(logits, labels, log_prior(COUNTS), 0.02)
    assert generous.strength > fitted.strength


@pytest.mark.parametrize("restart", [False, True])
def test_it_is_fitted_once_to_what_was_held_out_when_learning_ends(tmp_path, monkeypatch, restart):
    seen, fit = [], ClassPrior.fit

    def seen_fit(prior, logits, labels):
        seen.append((logits, labels))
        fit(prior, logits, labels)

    monkeypatch.setattr(ClassPrior, "fit", seen_fit)
    outer = {"class_prior": "fitted", "final_epochs": 1, "restart": restart}
    recipe = small(tmp_path, outer=outer, inner={"epochs": LEARNING + 1})
    done = finetune(recipe)
    ((logits, labels),) = seen
    trained = load_data(recipe).train.labels
    split = OuterSplitter(trained, recipe.outer.fraction, "epoch", recipe.seed).split(LEARNING - 1)
    assert labels.tolist() == trained[split.outer].tolist()
    assert len(logits) == len(labels)
    strengths = pd.read_csv(done.folder / "history.csv")["class_prior"].tolist()
    assert strengths[0] == 0 and strengths[1] == strengths[2] != 0
    assert load_run(done.folder).classifier.head.shift.std() > 0
