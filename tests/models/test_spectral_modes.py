import pytest
import torch
from torch.nn import functional as F

from rsmeta.bands import sensor
from rsmeta.data.statistics import BandStatistics
from rsmeta.errors import RecipeError
from rsmeta.models.classifier import build_classifier
from rsmeta.models.spectral import mixing_matrix, spectral_kernel

MODES = ["auto", "matched", "spectral", "luminance", "random"]
RGB = sensor("rgb").bands
S2 = sensor("sentinel2-l2a").bands
S1 = sensor("sentinel1").select(["VV", "VH"])
WEIGHT = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def kernel(target, mode, seed=0):
    return spectral_kernel(WEIGHT, RGB, target, mode, seed).kernel


@pytest.mark.parametrize("mode", MODES)
def test_rgb_keeps_its_kernel_bit_for_bit(mode):
    assert torch.equal(kernel(RGB, mode), WEIGHT)
    assert torch.equal(kernel(sensor("rgb").select(["B", "R", "G"]), mode), WEIGHT[:, [2, 0, 1]])


def test_matched_bands_read_their_kernel_and_others_nothing():
    found = kernel(S2, "matched")
    names = [band.name for band in S2]
    for name, channel in (("B04", 0), ("B03", 1), ("B02", 2)):
        assert torch.equal(found[:, names.index(name)], WEIGHT[:, channel])
    others = [i for i, name in enumerate(names) if name not in ("B04", "B03", "B02")]
    assert not found[:, others].any()
    assert not kernel(S1, "matched").any()


@pytest.mark.parametrize(
    ("target", "chosen"),
    [
        (S2, "matched"),
        (sensor("naip").bands, "matched"),
        (S1, "spectral"),
        (sensor("sentinel2-l2a").select(["B04", "B03", "B08"]), "spectral"),
    ],
    ids=["S2", "naip", "S1", "without blue"],
)
def test_auto_keeps_pretrained_kernels_alone_where_each_has_its_band(target, chosen):
    assert torch.equal(kernel(target, "auto"), kernel(target, chosen))
    other = {"matched": "spectral", "spectral": "matched"}[chosen]
    assert not torch.equal(kernel(target, "auto"), kernel(target, other))


@pytest.mark.parametrize("mode", ["spectral", "luminance"])
def test_bands_that_look_alike_give_the_tokens_of_a_grey_image(mode):
    """Sums of rows of M are what a band reads; with bands alike M must sum to three."""
    for target in (S1, S2):
        assert mixing_matrix(RGB, target, mode).sum().item() == pytest.approx(3, rel=1e-6)
    grey = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    tokens = F.conv2d(grey.expand(-1, 2, -1, -1), kernel(S1, mode), stride=4)
    expected = F.conv2d(grey.expand(-1, 3, -1, -1), WEIGHT, stride=4)
    torch.testing.assert_close(tokens, expected, rtol=1e-5, atol=1e-5)


def test_luminance_is_the_mean_of_the_pretrained_kernels_for_all_unmatched_bands():
    found = kernel(S2, "luminance")
    expected = WEIGHT.mean(dim=1) * 3 / 12
    for index, band in enumerate(S2):
        if band.colour is None:
            torch.testing.assert_close(found[:, index], expected)


@pytest.mark.parametrize("target", [S1, S2, sensor("sar").select(["HH"])], ids=len)
def test_random_kernels_answer_bands_that_look_alike_as_strongly_as_pretrained_ones(target):
    found = kernel(target, "random")
    assert torch.equal(found, kernel(target, "random"))
    assert not torch.equal(found, kernel(target, "random", seed=1))
    torch.testing.assert_close(found.sum(dim=1).norm(), WEIGHT.sum(dim=1).norm())
    drawn = [i for i, band in enumerate(target) if band.colour is None]
    copied = [i for i, band in enumerate(target) if band.colour is not None]
    noise = found[:, drawn]
    assert noise.mean().abs() < 0.2 * noise.std()
    if copied:  # as large as the kernels beside them
        ratio = (noise.std() / found[:, copied].std()).item()
        assert ratio == pytest.approx(1, rel=0.1)


def build(tiny_recipe, spectral, sensor_name="sar", head="class_mean", **sections):
    values = {
        "data": {"source": "simulator", "sensor": sensor_name},
        "backbone": {"spectral": spectral},
        "head": {"initialisation": head},
    }
    recipe = tiny_recipe(**values | sections)
    bands = recipe.data.selected_bands
    statistics = BandStatistics((0.0,) * len(bands), (1.0,) * len(bands))
    torch.manual_seed(0)
    return build_classifier(recipe, bands, 3, statistics)


@pytest.mark.parametrize("spectral", [{"update_rank": 2}, {"mixing": "trained"}], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_training_starts_at_the_tokens_of_the_frozen_kernel(tiny_recipe, mode, spectral):
    images = torch.randn(1, 12, 32, 32, generator=torch.Generator().manual_seed(2))
    tokens = [
        build(tiny_recipe, {"mode": mode} | extra, "multispectral").classifier.backbone.patch_embed(
            images
        )
        for extra in ({}, spectral)
    ]
    assert torch.equal(*tokens)


def test_all_kernels_zero_is_one_line_unless_they_train(tiny_recipe):
    with pytest.raises(
        RecipeError, match=r"none of the bands VV, VH, .* set update_rank"
    ) as caught:
        build(tiny_recipe, {"mode": "matched"})
    assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError, match="bands VV, VH"):
        build(tiny_recipe, {"mode": "matched"}, peft={"method": "bitfit"})
    for method in ("full", "scratch"):
        spectral = {"mode": "matched"} if method == "full" else {}
        build(tiny_recipe, spectral, head="random", peft={"method": method})


@pytest.mark.parametrize("spectral", [{"update_rank": 2}, {"mixing": "trained"}], ids=str)
def test_kernels_that_start_at_zero_need_a_head_with_a_gradient(tiny_recipe, spectral):
    with pytest.raises(RecipeError, match=r"set head.initialisation to random"):
        build(tiny_recipe, {"mode": "matched"} | spectral)
    built = build(tiny_recipe, {"mode": "matched"} | spectral, head="random")
    images = torch.randn(4, 2, 32, 32, generator=torch.Generator().manual_seed(3))
    logits = built.classifier(images)
    assert torch.equal(logits[0], logits[1])  # blind at the start
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    gradients = [
        parameter.grad
        for name, parameter in built.classifier.named_parameters()
        if name.endswith(("mixing", "parametrizations.weight.0.up"))
    ]
    assert len(gradients) == 1 and gradients[0].abs().max() > 1e-6


@pytest.mark.parametrize(
    ("values", "unread"),
    [
        ({"spectral": {}}, 9),
        ({"spectral": {"mode": "spectral"}}, 0),
        ({"spectral": {"update_rank": 2}}, 0),
        ({"spectral": {"mixing": "trained"}}, 0),
        ({"spectral": {}, "peft": {"method": "full"}}, 0),
        ({"spectral": {}, "peft": {"method": "ssf"}}, 9),
    ],
    ids=str,
)
def test_bands_that_the_model_never_sees_are_named(tiny_recipe, values, unread):
    found = build(tiny_recipe, sensor_name="multispectral", **values).unread_bands
    assert len(found) == unread
    assert not {"B02", "B03", "B04"} & set(found)


def test_scratch_has_no_pretrained_kernel(tiny_recipe):
    with pytest.raises(ValueError, match=r"backbone.spectral has no effect"):
        tiny_recipe(peft={"method": "scratch"}, backbone={"spectral": {"mode": "matched"}})


@pytest.mark.parametrize("mode", ["matched", "random"])
def test_rgb_keeps_its_kernel_beside_a_band_that_reads_nothing(mode):
    infrared = next(band for band in S2 if band.name == "B08")
    found = kernel((*RGB, infrared), mode)
    assert found.shape[1] == 4
    if mode == "matched":
        assert torch.equal(found[:, :3], WEIGHT)
        assert not found[:, 3].any()
    else:
        scale = found[0, 0, 0, 0] / WEIGHT[0, 0, 0, 0]
        torch.testing.assert_close(found[:, :3], scale * WEIGHT)
        assert found[:, 3].std() > 0
