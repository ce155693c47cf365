import pytest
import torch
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator

from rsmeta.errors import RecipeError
from rsmeta.recipe import Compute
from rsmeta.train.trainer import build_trainer, slow_precision
from rsmeta.validation import validate_recipe


@pytest.fixture
def no_gpu(monkeypatch):
    for accelerator in (CUDAAccelerator, MPSAccelerator):
        monkeypatch.setattr(accelerator, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("use", [validate_recipe, lambda recipe: build_trainer(recipe, [])])
def test_a_gpu_that_is_not_there_is_told(tiny_recipe, use):
    with pytest.raises(RecipeError, match="accelerator: gpu: torch finds no GPU"):
        use(tiny_recipe(compute={"accelerator": "gpu"}))


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_other_accelerators_need_none(tiny_recipe, accelerator):
    recipe = tiny_recipe(compute={"accelerator": accelerator})
    assert build_trainer(recipe, []).num_devices == 1


@pytest.mark.parametrize(
    ("precision", "device", "capability", "told"),
    [
        ("bfloat16", "cpu", "AVX2", True),
        ("bfloat16", "cpu", "AVX512", False),
        ("bfloat16", "cuda", "AVX2", False),
        ("float32", "cpu", "AVX2", False),
    ],
)
def test_a_precision_that_makes_training_slower_is_told(
    monkeypatch, precision, device, capability, told
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    line = slow_precision(Compute(precision=precision), torch.device(device))
    assert (line is not None) == told
    assert not told or ("float32" in line and "\n" not in line)


def test_it_is_told_when_training_starts(tiny_recipe, caplog, monkeypatch):
    from rsmeta import finetuning

    def stop(trainer, module, datamodule):
        raise KeyboardInterrupt

    monkeypatch.setattr(finetuning, "fit", stop)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    with pytest.raises(KeyboardInterrupt):
        finetuning.finetune(tiny_recipe(compute={"precision": "bfloat16", "accelerator": "cpu"}))
    assert sum("no instructions for it" in r.getMessage() for r in caplog.records) == 1
