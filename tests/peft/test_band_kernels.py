import math

import pytest
import torch
from tiny_vits import ADDITIVE, CONFIGS, PATCH, WIDTH, Holder, images, randomise, vit
from torch.nn import functional as F

from rsmeta.errors import RecipeError
from rsmeta.models.frozen_prefix import frozen_blocks, require_frozen_prefix
from rsmeta.peft.band_kernels import BandTraining, BandUpdates
from rsmeta.peft.merging import merge
from rsmeta.peft.methods import adapt, plan
from rsmeta.peft.plan_table import plan_frame
from rsmeta.peft.pruning import transfer
from rsmeta.peft.sites import BandSite, Part
from rsmeta.recipe import BitFit, LinearProbe, Lora

BANDS = ("B04", "B08", "VV")
SOURCE = torch.randn(
    WIDTH, 2, PATCH, PATCH, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
)
START = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]], dtype=torch.float64)
BOTH = BandTraining(BANDS, SOURCE, 2, START)
METHODS = [method for method in CONFIGS if method != "scratch"]


def adapted(config, training=BOTH, kept=None, **settings):
    model = vit(**settings)
    holder = Holder(model, adapt(config, model, kept, training)).double()
    return holder.eval()


def updates_of(holder):
    (found,) = [m for m in holder.modules() if isinstance(m, BandUpdates)]
    return found


def written_out(state, holder):
    """The kernel as the formula says, from the tensors that were trained."""
    named = {name.split(".")[-1]: p.detach() for name, p in holder.named_parameters()}
    updates, rho = updates_of(holder), holder.modulators.rho.detach()
    kernel = state["patch_embed.proj.weight"].clone()
    for band in range(len(BANDS)):
        for source in range(2):
            change = named["mixing"][band, source] - START[band, source]
            kernel[:, band] += change * SOURCE[:, source]
    for number, site in enumerate(updates.sites):
        gamma = math.log1p(math.exp(rho[holder.modulators.sites.index(site)]))
        product = updates.up[number].detach() @ updates.down[number].detach()
        kernel[:, BANDS.index(site.band)] += gamma * product.view(WIDTH, PATCH, PATCH)
    return kernel


@pytest.mark.parametrize("method", METHODS)
def test_features_start_where_they_were(method):
    torch.manual_seed(1)
    with_bands = adapted(CONFIGS[method])
    torch.manual_seed(1)
    without = adapted(CONFIGS[method], None)
    assert torch.equal(with_bands(images()), without(images()))


@pytest.mark.parametrize("method", METHODS)
def test_no_tensor_that_is_computed_is_stored(method):
    holder = adapted(CONFIGS[method])
    assert set(holder.state_dict()) == {name for name, _ in holder.named_parameters()}


@pytest.mark.parametrize("variant", [{}, {"pre_norm": True}], ids=["bias", "no bias"])
def test_the_kernel_is_the_sum_of_the_formula(variant):
    holder = adapted(Lora(rank=2), **variant)
    randomise(holder)
    state = vit(**variant).state_dict()
    expected = F.conv2d(
        images(), written_out(state, holder), state.get("patch_embed.proj.bias"), stride=PATCH
    )
    found = holder.backbone.patch_embed.proj(images())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_counts_what_trains_and_every_band_has_a_modulator(method):
    model = vit()
    lines = plan(CONFIGS[method], model, None, BOTH)
    bank = adapt(CONFIGS[method], model, None, BOTH)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(line.parameters for line in lines) == trained
    bands = [line.site for line in lines if isinstance(line.site, BandSite)]
    assert bands == list(bank.sites[:3]) == [BandSite(name) for name in BANDS]
    assert bank.rho.requires_grad == (method in ADDITIVE)
    frame = plan_frame(lines)
    assert frame[frame["method"] == "band_update"]["position"].tolist() == list(BANDS)
    assert frame[frame["method"] == "band_mixing"]["parameters"].tolist() == [6]


@pytest.mark.parametrize("sharing", ["none", "block", "position", "all"])
def test_bands_share_modulators_as_a_block_of_their_own(sharing):
    holder = adapted(Lora(rank=2, sharing=sharing))
    expected = {"none": 3 + 12, "block": 1 + 2, "position": 3 + 6, "all": 1}
    assert holder.modulators.rho.numel() == expected[sharing]


@pytest.mark.parametrize("method", ["lora", "linear_probe", "bitfit", "ssf", "full"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_merged_is_a_plain_vit_with_the_same_output(method, dtype):
    holder = adapted(CONFIGS[method]).to(dtype)
    randomise(holder)
    chips = images(dtype=dtype)
    with torch.no_grad():
        expected = holder(chips)
        merge(holder.backbone)
        tolerance = 1e-10 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(holder(chips), expected, rtol=tolerance, atol=tolerance)
    assert set(holder.backbone.state_dict()) == set(vit().state_dict())
    assert type(holder.backbone.patch_embed.proj) is torch.nn.Conv2d


@pytest.mark.parametrize("config", [Lora(rank=2), LinearProbe(), BitFit()], ids=lambda c: c.method)
def test_a_pruned_model_computes_what_is_left(config):
    holder = adapted(config)
    randomise(holder)
    kept = [site for site in holder.modulators.sites if site != BandSite("B08")]
    smaller = adapted(config, kept=kept)
    transfer(holder, smaller)
    assert updates_of(smaller).up.shape[0] == 2
    holder.modulators.keep_only(kept)
    torch.testing.assert_close(smaller(images()), holder(images()), rtol=1e-12, atol=1e-12)
    lines = plan(config, vit(), kept, BOTH)
    assert [line.site for line in lines if not isinstance(line.site, Part)] == kept
    assert any(isinstance(line.site, Part) for line in lines)


def test_without_any_band_left_the_kernel_does_not_train():
    kept = adapted(Lora(rank=2)).modulators.sites[3:]
    holder = adapted(Lora(rank=2), BandTraining(BANDS, SOURCE, 2, None), kept)
    assert type(holder.backbone.patch_embed.proj) is torch.nn.Conv2d


def test_a_band_contributes_its_update_relative_to_its_kernel():
    holder = adapted(LinearProbe(), BandTraining(BANDS, SOURCE, 2, None))
    state = vit().state_dict()["patch_embed.proj.weight"].clone()
    state[:, 2] = 0
    holder.backbone.patch_embed.proj.parametrizations.weight.original.data.copy_(state)
    updates = updates_of(holder)
    with torch.no_grad():
        assert set(updates.relative_updates().values()) == {0.0}
        randomise(holder)
        found = updates.relative_updates()
    gamma = holder.modulators.gamma()[0].item()
    typical = (SOURCE[:, 0].norm() + SOURCE[:, 1].norm()) / 2
    norms = [state[:, 0].norm(), state[:, 1].norm(), typical]  # of the third there is no kernel
    for number in range(3):
        product = gamma * updates.up[number].detach() @ updates.down[number].detach()
        expected = product.norm() / norms[number]
        assert found[BandSite(BANDS[number])] == pytest.approx(expected.item(), rel=1e-10)


def test_the_patch_embedding_is_no_frozen_prefix():
    holder = adapted(Lora(rank=2, blocks="last:1"))
    assert frozen_blocks(holder.backbone) == 0
    with pytest.raises(RecipeError, match="the patch embedding is trained") as caught:
        require_frozen_prefix(holder.backbone)
    assert "\n" not in str(caught.value)


def test_updates_start_as_large_as_the_pretrained_kernels():
    """What a step changes grows with the square of V: larger ones drown the pretrained tokens."""
    for scale in (0.01, 1.0):
        training = BandTraining(tuple("abcdefgh"), scale * SOURCE, 8, None)
        down = updates_of(adapted(Lora(), training, in_chans=8)).down
        assert float(down.std() / training.pretrained.std()) == pytest.approx(1, rel=0.1)
