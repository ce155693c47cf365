import pytest
import timm
import torch
from tiny_vits import CONFIGS, VARIANTS, images, randomise, vit

from rsmeta import recipe
from rsmeta.errors import RecipeError
from rsmeta.models.frozen_prefix import (
    features_of,
    frozen_blocks,
    require_frozen_prefix,
    tokens_of,
)
from rsmeta.peft.methods import adapt


@pytest.mark.parametrize(
    ("config", "frozen"),
    [
        (recipe.Lora(rank=2), 0),
        (recipe.Lora(rank=2, blocks="last:1"), 3),
        (recipe.Lora(rank=2, blocks=[1, 3]), 1),
        (recipe.Adapter(blocks="last:2"), 2),
        (recipe.AdaptFormer(blocks="last:2"), 2),
        (recipe.LinearProbe(), 4),
        (recipe.BitFit(), 0),
        (recipe.BitFit(blocks="last:2"), 2),
        (recipe.LayerNormTuning(blocks=[2]), 2),
        (recipe.ScaleShift(), 0),
        (recipe.ScaleShift(blocks="last:3"), 1),
        (recipe.VptShallow(), 0),
        (recipe.VptDeep(blocks="last:1"), 3),
        (recipe.FullFineTuning(), 0),
        (recipe.FullFineTuning(blocks="last:1"), 3),
        (recipe.Scratch(), 0),
    ],
    ids=lambda value: getattr(value, "method", value),
)
def test_blocks_before_the_first_trained_tensor_are_frozen(config, frozen):
    model = vit(depth=4)
    adapt(config, model)
    assert frozen_blocks(model) == frozen


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_both_halves_make_the_whole(variant, frozen):
    model = vit(**VARIANTS[variant]).eval()
    x = images()
    assert torch.equal(features_of(model, frozen, tokens_of(model, frozen, x)), model(x))


@pytest.mark.parametrize("method", ["lora", "adapter", "adaptformer", "bitfit", "vpt_deep", "ssf"])
def test_both_halves_make_the_whole_of_an_adapted_model(method):
    model = vit(depth=3)
    config = CONFIGS[method].model_copy(update={"blocks": "last:2"})
    adapt(config, model)
    model.double()
    randomise(model)
    x = images()
    assert torch.equal(features_of(model, 1, tokens_of(model, 1, x)), model(x))


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_no_activation_is_kept_and_no_gradient_flows_below_the_first_trained_block(first):
    model = vit(depth=4)
    adapt(recipe.Lora(rank=2, blocks=list(range(first, 4))), model)
    model.double()
    inputs, kept = {}, {}

    def watch(index):
        def before(module, arguments):
            inputs[index] = arguments[0]
            kept["now"] = kept[index] = []

        return before

    for index, block in enumerate(model.blocks):
        block.register_forward_pre_hook(watch(index))
    kept["now"] = kept["embedding"] = []

    def keep(tensor):
        kept["now"].append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = model(images())
    for index in range(4):
        assert bool(kept[index]) == (index >= first)
        # The first trained block needs no gradient of its input, those after it do.
        assert inputs[index].requires_grad == (index > first)
    assert not kept["embedding"]
    features.sum().backward()
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {str(index) for index in range(first, 4)}


def test_nothing_to_cache_is_one_line():
    model = vit()
    adapt(recipe.Lora(rank=2), model)
    with pytest.raises(RecipeError, match="the first block is trained") as error:
        require_frozen_prefix(model)
    assert len(str(error.value).splitlines()) == 1


def test_a_vit_that_computes_in_another_order_is_one_line():
    with torch.device("meta"):
        model = timm.create_model("vit_small_plus_patch16_dinov3", num_classes=0)
    model.requires_grad_(False)
    with pytest.raises(RecipeError, match="not one of timm's plain ViTs") as error:
        require_frozen_prefix(model)
    assert len(str(error.value).splitlines()) == 1
