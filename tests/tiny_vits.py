"""Tiny ViTs, every method's smallest recipe section, and a plain ViT written out by hand."""

from functools import cache

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional as F

from rsmeta import recipe

WIDTH, HEADS, PATCH, SIZE = 12, 2, 8, 16

CONFIGS = {
    "lora": recipe.Lora(rank=2),
    "adapter": recipe.Adapter(rank=6),
    "adaptformer": recipe.AdaptFormer(rank=6),
    "linear_probe": recipe.LinearProbe(),
    "bitfit": recipe.BitFit(),
    "layer_norm": recipe.LayerNormTuning(),
    "ssf": recipe.ScaleShift(),
    "vpt_shallow": recipe.VptShallow(prompts=3),
    "vpt_deep": recipe.VptDeep(prompts=3),
    "full": recipe.FullFineTuning(),
    "scratch": recipe.Scratch(),
}
ADDITIVE = ["lora", "adapter", "adaptformer"]
UNCHANGED_AT_START = [*ADDITIVE, "linear_probe", "bitfit", "layer_norm", "ssf", "full"]
# What timm's vision_transformer families differ by: DINOv2, CLIP, AugReg, MAE, SigLIP, DeiT III ...
VARIANTS = {
    "plain": {},
    "layer_scale": {"init_values": 1e-2},
    "qk_norm": {"qk_norm": True},
    "registers": {"reg_tokens": 2, "no_embed_class": True},
    "avg": {"global_pool": "avg"},
    "avg_without_class_token": {"global_pool": "avg", "class_token": False},
    "map": {"global_pool": "map", "class_token": False},
    "drop_path": {"drop_path_rate": 0.3},
    "pre_norm": {"pre_norm": True},
    "no_qkv_bias": {"qkv_bias": False},
    "scale_norms": {"scale_attn_norm": True, "scale_mlp_norm": True},
}


def vit(depth=2, **settings):
    """A frozen float64 ViT for images (n, 3, 16, 16) without a head."""
    torch.manual_seed(0)
    shape = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": WIDTH, "num_heads": HEADS}
    model = VisionTransformer(**shape, depth=depth, num_classes=0, **settings)
    return noisy(model.double()).requires_grad_(False)


def noisy(model):
    """Make biases, norms and LayerScale differ from 0 and 1, as in a pretrained ViT."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise.to(parameter.dtype))
    return model


def images(count=2, dtype=torch.float64):
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).to(dtype)


class Holder(nn.Module):
    """A backbone with its modulators, as in `ChipClassifier`."""

    def __init__(self, backbone, modulators):
        super().__init__()
        self.backbone = backbone
        self.modulators = modulators

    def forward(self, x):
        return self.backbone(x)


def randomise(module):
    """Move everything that trains away from its start."""
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data.add_(0.3 * noise.to(parameter.dtype))


@cache
def architectures():
    """One timm model name for each structure among timm's plain vision transformers."""
    found = {}
    for name in timm.list_models(module="vision_transformer"):
        model = registered_vit(name, device="meta")
        structure = [(key, type(module).__name__) for key, module in model.named_modules()]
        structure += [key for key, _ in model.named_parameters()]
        found.setdefault(str((structure, model.global_pool, model.num_prefix_tokens)), name)
    return sorted(found.values())


def registered_vit(name, device="cpu"):
    """A model of timm's registry with all its options, at the size of `vit`."""
    torch.manual_seed(0)
    shape = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": WIDTH, "num_heads": HEADS}
    with torch.device(device):
        model = timm.create_model(name, **shape, depth=2, num_classes=0)
    return model.double().requires_grad_(False)


def bottleneck(module, gamma, x):
    """What Adapter and AdaptFormer compute, gamma * Up(ReLU(Down(LN(x)))), written out."""
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    x = (x - mean) / (variance + 1e-5).sqrt() * module.norm.weight + module.norm.bias
    hidden = (x @ module.down.weight.T + module.down.bias).clamp(min=0)
    return gamma * (hidden @ module.up.weight.T + module.up.bias)


def same(name, x):
    return x


def nothing(index, x):
    return 0


def plain_vit(state, x, enter=same, leave=same, attn=same, mlp=same, beside=nothing, layer=same):
    """A ViT with class token, written out; each function may change what it is given.

    `enter` and `leave` get the tokens of a block, `attn` and `mlp` what a branch adds to the
    residual stream, `layer` the output of a named layer; what `beside` makes of the stream before
    the MLP is added.
    """

    def linear(name, x):
        return layer(name, x @ state[f"{name}.weight"].T + state[f"{name}.bias"])

    def norm(name, x):
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return layer(name, unit * state[f"{name}.weight"] + state[f"{name}.bias"])

    def attention(name, x):
        q, k, v = linear(f"{name}.qkv", x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        shares = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        return linear(f"{name}.proj", (shares @ v).transpose(1, 2).flatten(-2))

    patches = F.unfold(x, PATCH, stride=PATCH).transpose(1, 2)
    kernel = state["patch_embed.proj.weight"].flatten(1)
    patches = layer("patch_embed.proj", patches @ kernel.T + state["patch_embed.proj.bias"])
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), patches], 1) + state["pos_embed"]
    for index in range(sum(key.endswith("fc2.bias") for key in state)):
        name = f"blocks.{index}"
        x = enter(index, x)
        h = attention(f"{name}.attn", norm(f"{name}.norm1", x))
        x = x + attn(index, h * state.get(f"{name}.ls1.gamma", 1))
        hidden = F.gelu(linear(f"{name}.mlp.fc1", norm(f"{name}.norm2", x)))
        h = linear(f"{name}.mlp.fc2", hidden) * state.get(f"{name}.ls2.gamma", 1)
        x = leave(index, x + mlp(index, h) + beside(index, x))
    return norm("norm", x)[:, 0]
