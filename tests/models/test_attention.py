import pytest
import torch
from tiny_classifiers import STATISTICS
from tiny_vits import images, vit

from rsmeta.models.attention import attention_layers, choose_attention
from rsmeta.models.classifier import ChipClassifier
from rsmeta.models.heads import CosineHead
from rsmeta.peft.methods import adapt
from rsmeta.recipe import Lora


def classifier(precision):
    torch.manual_seed(0)
    model = vit()
    bank = adapt(Lora(), model)
    head = CosineHead(model.num_features, 4, 30.0)
    return ChipClassifier(model, bank, head, STATISTICS, precision).float()


@pytest.mark.parametrize(
    ("precision", "training", "plain"),
    [
        ("bfloat16", True, True),
        ("bfloat16", False, False),
        ("float32", True, False),
        ("float32", False, False),
    ],
)
def test_the_plain_kernel_is_for_training_in_bfloat16(precision, training, plain):
    model = classifier(precision)
    layers = attention_layers(model.backbone)
    assert len(layers) == 2
    for switch in (not training, training):
        with torch.set_grad_enabled(switch):
            model(images(dtype=torch.float32))
    assert [layer.fused_attn for layer in layers] == [not plain] * 2


@pytest.mark.parametrize(("tokens", "fused"), [(256, False), (257, True)])
def test_long_sequences_keep_the_fused_kernel(tokens, fused):
    layers = attention_layers(vit())
    choose_attention(layers, images(), True, tokens)
    assert {layer.fused_attn for layer in layers} == {fused}


def test_a_kernel_that_was_switched_off_stays_off():
    model = vit()
    model.blocks[0].attn.fused_attn = False
    choose_attention(attention_layers(model), images(), False, 16)
    assert [block.attn.fused_attn for block in model.blocks] == [False, True]


def test_gradients_are_those_of_the_fused_kernel():
    gradients = []
    for layers in (None, []):
        model = classifier("bfloat16")
        if layers is not None:
            model._attention = layers
        model(images(dtype=torch.float32)).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.inner_parameters()]))
    plain, fused = gradients
    assert not torch.equal(plain, fused)
    assert (plain - fused).norm() < 0.03 * fused.norm()
