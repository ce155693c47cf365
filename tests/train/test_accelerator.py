import pytest
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator

from rsmeta.errors import RecipeError
from rsmeta.train.trainer import build_trainer
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
