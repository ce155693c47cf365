import os
import pickle
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

import rsmeta
from rsmeta.bands import sensor
from rsmeta.errors import BackboneError
from rsmeta.models.backbones import build_backbone

NAME = "timm:test_vit"
SIZE = 32
RGB = sensor("rgb").bands
ALL = [".safetensors", ".pth", "_nested.pth"]


@pytest.fixture
def refused():
    """The one line that a backbone which cannot be built gives."""

    def refused(name=NAME, file=None, size=SIZE, bands=RGB):
        with pytest.raises(BackboneError) as caught:
            build_backbone(name, file, size, bands)
        message = str(caught.value)
        assert "\n" not in message
        return message

    return refused


def images(bands=3, size=SIZE):
    return torch.randn(2, bands, size, size, generator=torch.Generator().manual_seed(1))


# --- weights from files -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ALL)
def test_rgb_outputs_are_those_of_plain_timm_bit_for_bit(plain, stored, suffix):
    built = build_backbone(NAME, stored[suffix], SIZE, RGB).model.eval()
    with torch.no_grad():
        assert torch.equal(built(images()), plain(images()))
        assert torch.equal(built.forward_features(images()), plain.forward_features(images()))


def test_a_backbone_is_frozen_and_has_no_head(stored):
    model = build_backbone(NAME, stored[".pth"], SIZE, RGB).model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model(images()).shape == (2, model.num_features)


def test_the_digest_depends_on_the_weights_alone(plain, stored, tmp_path):
    digests = {
        build_backbone(NAME, stored[suffix], size, bands).sha256
        for suffix, size, bands in [
            (".safetensors", 32, RGB),
            (".pth", 64, RGB),
            ("_nested.pth", 32, sensor("sar").bands),
        ]
    }
    assert len(digests) == 1
    state = {key: value.clone() for key, value in plain.state_dict().items()}
    state["norm.bias"][0] += 1e-3
    save_file(state, tmp_path / "changed.safetensors")
    changed = build_backbone(NAME, tmp_path / "changed.safetensors", SIZE, RGB).sha256
    assert changed not in digests


def test_a_classification_head_in_the_file_is_left_out(plain, tmp_path):
    state = {**plain.state_dict(), "head.weight": torch.ones(9, 64), "head.bias": torch.ones(9)}
    save_file(state, tmp_path / "headed.safetensors")
    built = build_backbone(NAME, tmp_path / "headed.safetensors", SIZE, RGB).model.eval()
    with torch.no_grad():
        assert torch.equal(built(images()), plain(images()))


def test_half_precision_files_give_float32_models(plain, tmp_path):
    save_file({k: v.half() for k, v in plain.state_dict().items()}, tmp_path / "half.safetensors")
    model = build_backbone(NAME, tmp_path / "half.safetensors", SIZE, RGB).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("size", [16, 48, 80])
def test_the_position_embedding_is_resampled_as_timm_does(plain, stored, size):
    model = build_backbone(NAME, stored[".safetensors"], size, RGB).model
    side = size // 16
    expected = resample_abs_pos_embed(plain.pos_embed, [side, side], num_prefix_tokens=1)
    torch.testing.assert_close(model.pos_embed, expected)
    assert model(images(size=size)).shape == (2, 64)


@pytest.mark.parametrize(
    ("name", "bands"),
    [
        ("sar", ["VV"]),
        ("sentinel1", ["VV", "VH"]),
        ("sentinel2-l2a", None),
        ("sentinel2-l1c", None),
    ],
)
def test_other_sensors_can_be_read(stored, name, bands):
    target = sensor(name).select(bands)
    model = build_backbone(NAME, stored[".pth"], SIZE, target).model
    features = model(images(len(target)))
    assert features.shape == (2, 64)
    assert torch.isfinite(features).all()


def test_a_single_radar_band_is_seen_as_a_grey_image(plain, stored):
    model = build_backbone(NAME, stored[".pth"], SIZE, sensor("sar").select(["HH"])).model.eval()
    grey = images(1)
    with torch.no_grad():
        torch.testing.assert_close(
            model(grey), plain(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
        )


# --- what does not fit ------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["test_vit2", "vit_tiny_patch16_224"])
def test_a_file_of_another_architecture_is_refused(refused, stored, other):
    message = refused(f"timm:{other}", stored[".pth"])
    assert f"do not fit 'timm:{other}'" in message


def test_a_file_of_a_convolutional_network_is_refused(refused, tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2))
    torch.save(network.state_dict(), tmp_path / "cnn.pth")
    assert "patch embedding" in refused(file=tmp_path / "cnn.pth")


def test_a_file_for_other_bands_is_refused_with_both_numbers(refused, plain, tmp_path):
    state = dict(plain.state_dict())
    state["patch_embed.proj.weight"] = torch.ones(64, 2, 16, 16)
    torch.save(state, tmp_path / "two.pth")
    assert "read 2 bands; 3 were expected" in refused(file=tmp_path / "two.pth")


@pytest.mark.parametrize("tensor", ["pos_embed", "patch_embed.proj.weight", "norm.weight"])
def test_a_tensor_without_dimensions_is_refused(refused, plain, tmp_path, tensor):
    torch.save({**plain.state_dict(), tensor: torch.tensor(1.0)}, tmp_path / "flat.pth")
    refused(file=tmp_path / "flat.pth")


class Trap:
    """A pickle of this makes a folder when it is loaded carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", ["torch", "pickle"])
def test_code_in_a_pickle_is_not_run(refused, tmp_path, write):
    file, made = tmp_path / "evil.pth", tmp_path / "made"
    if write == "torch":
        torch.save({"state_dict": Trap(made)}, file)
    else:
        file.write_bytes(pickle.dumps({"state_dict": Trap(made)}))
    message = refused(file=file)
    assert not made.exists()
    assert str(file) in message
    assert "save its state dict as .safetensors" in message


@pytest.mark.parametrize("content", [{"a": 1}, [torch.ones(1)], torch.ones(2), {}], ids=str)
def test_a_pickle_without_a_state_dict_is_refused(refused, tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    refused(file=tmp_path / "other.pth")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize(
    "content", [b"", b"hello world", b"h", b"\n", b"<html></html>", b"PK\x03\x04 zip", b"\x80\x02"]
)
def test_a_damaged_file_is_one_line_with_its_path(refused, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert str(tmp_path / name) in refused(file=tmp_path / name)


@pytest.mark.parametrize("name", ["gone.safetensors", "gone.pth", ""])
def test_a_missing_file_is_named(refused, tmp_path, name):
    assert f"'{tmp_path / name}' does not exist" in refused(file=tmp_path / name)


@pytest.mark.parametrize(("size", "nearest"), [(40, 32), (5, 16), (31, 32), (100, 96)])
def test_an_image_size_off_the_patch_grid_names_the_nearest(refused, stored, size, nearest):
    message = refused(file=stored[".pth"], size=size)
    assert f"image_size {size} is not a multiple of the patch size 16; use {nearest}" in message


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["embeded", "timm:", "torchgeo:", "vit_small", "hub:x", ""])
def test_a_name_of_no_known_kind_names_the_kinds(refused, name):
    message = refused(name)
    assert f"'{name}' is unknown" in message
    assert all(kind in message for kind in ("'embedded'", "'timm:ARCH", "'torchgeo:WEIGHTS'"))


def test_an_unknown_timm_name_names_the_nearest(refused):
    assert "did you mean 'vit_tiny_patch16_224'?" in refused("timm:vit_tinny_patch16_224")


@pytest.mark.parametrize("name", ["timm:resnet18", "timm:swin_tiny_patch4_window7_224"])
def test_networks_that_are_no_plain_vit_are_refused(refused, name):
    assert "timm has no such ViT" in refused(name)


def test_an_unknown_tag_of_a_known_architecture_is_refused(refused, stored):
    assert "nonsense" in refused("timm:test_vit.nonsense", stored[".pth"])


@pytest.mark.parametrize(
    "name",
    ["torchgeo:Nope.WEIGHTS", "torchgeo:nope", "torchgeo:ResNet18_Weights.SENTINEL2_ALL_MOCO"],
)
def test_torchgeo_names_that_are_no_vit_are_refused(refused, name):
    assert f"'{name}'" in refused(name)


def test_torchgeo_weights_of_other_bands_do_not_take_an_rgb_file(refused, stored):
    message = refused("torchgeo:ViTSmall16_Weights.SENTINEL1_GRD_MAE", stored[".pth"])
    assert "read 3 bands; 2 were expected" in message


def test_embedded_weights_take_no_file(refused, stored):
    assert "brings its own weights" in refused("embedded", stored[".pth"], 64)


def test_without_a_network_the_error_says_to_pass_a_file(tmp_path):
    code = (
        "from rsmeta.bands import sensor; from rsmeta.errors import BackboneError\n"
        "from rsmeta.models.backbones import build_backbone\n"
        "try: build_backbone('timm:test_vit', None, 32, sensor('rgb').bands)\n"
        "except BackboneError as error: print(error)"
    )
    search = os.pathsep.join([str(Path(rsmeta.__file__).parents[1]), *filter(None, sys.path)])
    environment = {
        **os.environ, "PYTHONPATH": search, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path),
    }  # fmt: skip
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    [line] = done.stdout.splitlines()
    assert "'timm:test_vit'" in line
    assert "could not be downloaded" in line
    assert "pass them with backbone.file" in line


# --- real weights -----------------------------------------------------------------------------


def test_the_embedded_backbone_is_small_and_gives_features():
    path = files("rsmeta.assets") / "vit_simulated_optical.safetensors"
    if not path.is_file():
        pytest.skip("the embedded backbone has not been made: rsmeta distill")
    assert len(path.read_bytes()) <= 12 * 2**20
    for bands in (RGB, sensor("sar").select(["VV", "VH"])):
        backbone = build_backbone("embedded", None, 64, bands)
        features = backbone.model(images(len(bands), 64))
        assert features.shape == (2, 192)
        assert torch.isfinite(features).all()
        assert features[0].sub(features[1]).abs().max() > 1e-3


def test_real_dinov2_weights_give_the_features_of_plain_timm_at_70_pixels(dinov2):
    model = build_backbone("timm:vit_small_patch14_dinov2", dinov2, 70, RGB).model.eval()
    plain = timm.create_model(
        "vit_small_patch14_dinov2", pretrained=True, pretrained_cfg_overlay={"file": str(dinov2)},
        num_classes=0, img_size=70,
    ).eval()  # fmt: skip
    with torch.no_grad():
        # timm rounds the resampled position embedding to the half precision of the file.
        torch.testing.assert_close(
            model(images(size=70)), plain(images(size=70)), rtol=1e-3, atol=2e-3
        )


@pytest.mark.slow
def test_torchgeo_weights_of_the_same_bands_are_used_as_they_are(tmp_path):
    torch.manual_seed(0)
    plain = timm.create_model("vit_small_patch16_224", in_chans=2, num_classes=0).eval()
    save_file(plain.state_dict(), tmp_path / "weights.safetensors")
    bands = sensor("sentinel1").select(["VV", "VH"])
    name = "torchgeo:ViTSmall16_Weights.SENTINEL1_GRD_MAE"
    built = build_backbone(name, tmp_path / "weights.safetensors", 224, bands).model.eval()
    images = torch.randn(1, 2, 224, 224)
    assert torch.equal(built(images), plain(images))


@pytest.mark.parametrize(
    "error", [RuntimeError("invalid hash value"), EOFError("Ran out of input")]
)
def test_a_damaged_download_from_torchgeo_is_one_line(refused, monkeypatch, error):
    from torchvision.models import WeightsEnum

    def damaged(weights, *arguments, **options):
        raise error

    monkeypatch.setattr(WeightsEnum, "get_state_dict", damaged)
    message = refused("torchgeo:ViTSmall16_Weights.SENTINEL1_GRD_MAE")
    assert str(error) in message
    assert "delete it from torch's cache" in message
