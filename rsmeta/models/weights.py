"""Where pretrained weights come from: the package itself, a file, timm or TorchGeo."""

import argparse
import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from rsmeta.bands import Band, sensor
from rsmeta.errors import BackboneError
from rsmeta.models.allocation import allocating
from rsmeta.models.checkpoint_layouts import encoder_state
from rsmeta.rasters import reason

EMBEDDED = "embedded"
_EMBEDDED_FILE = "vit_simulated_optical.safetensors"
# A damaged pickle fails wherever its garbage leads the reader.
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
)


@dataclass(frozen=True)
class Weights:
    """Pretrained weights and what is known of them.

    Attributes:
        architecture: Name of a timm model, or keyword arguments of timm's `VisionTransformer`.
        state: State dict in timm's layout, as it was stored.
        bands: The bands that the patch embedding was trained on.
    """

    architecture: str | dict[str, Any]
    state: dict[str, Tensor]
    bands: tuple[Band, ...]

    @property
    def sha256(self) -> str:
        """Digest of all tensors, see `tensor_digest`."""
        return tensor_digest(self.state)


def tensor_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_weights(name: str, file: Path | None) -> Weights:
    """Find the weights of a backbone.

    Args:
        name: `embedded`, `timm:ARCHITECTURE` or `torchgeo:WEIGHTS`.
        file: Take the weights from this .safetensors or .pth file instead of downloading them.

    Raises:
        BackboneError: Unknown name, unreadable file, or no way to download.
    """
    scheme, _, rest = name.partition(":")
    if name == EMBEDDED:
        if file is not None:
            raise BackboneError(
                "backbone.file goes with 'timm:' or 'torchgeo:' names; the embedded backbone "
                "brings its own weights"
            )
        return _embedded()
    if scheme == "timm" and rest:
        return _timm(rest, file)
    if scheme == "torchgeo" and rest:
        return _torchgeo(rest, file)
    raise BackboneError(
        f"backbone.name '{name}' is unknown; allowed: 'embedded', 'timm:ARCHITECTURE' such as "
        "timm:vit_small_patch14_dinov2, 'torchgeo:WEIGHTS' such as "
        "torchgeo:ViTSmall16_Weights.SENTINEL1_GRD_MAE"
    )


def _embedded() -> Weights:
    with as_file(files("rsmeta.assets") / _EMBEDDED_FILE) as path:
        with safe_open(path, framework="pt") as stored:
            architecture = json.loads(stored.metadata()["rsmeta"])["architecture"]
        return Weights(architecture, load_file(path), sensor("rgb").bands)


def _timm(name: str, file: Path | None) -> Weights:
    architecture, _, tag = name.partition(".")
    known = timm.list_models(module="vision_transformer")
    if architecture not in known:
        near = get_close_matches(architecture, known, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise BackboneError(f"backbone.name 'timm:{name}': timm has no such ViT{hint}")
    pretrained = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in pretrained:
        raise BackboneError(
            f"backbone.name 'timm:{name}': timm has no weights '{tag}' of it; allowed: "
            f"{', '.join(entry.partition('.')[2] for entry in pretrained)}"
        )
    state = read_state(file) if file is not None else _download_timm(name)
    return Weights(architecture, state, sensor("rgb").bands)


def _download_timm(name: str) -> dict[str, Tensor]:
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except OSError as error:
        raise BackboneError(_no_download(f"timm:{name}", error)) from error
    except RuntimeError as error:
        raise BackboneError(f"backbone.name 'timm:{name}': {error}") from error
    return dict(model.state_dict())


def _torchgeo(name: str, file: Path | None) -> Weights:
    from torchgeo.models import get_weight

    try:
        entry = get_weight(name)
    except ValueError as error:
        raise BackboneError(
            f"backbone.name 'torchgeo:{name}': TorchGeo has no such weights; "
            "see torchgeo.models, e.g. ViTSmall16_Weights.SENTINEL1_GRD_MAE"
        ) from error
    architecture = str(entry.meta.get("model", ""))
    if architecture not in timm.list_models(module="vision_transformer"):
        raise BackboneError(
            f"backbone.name 'torchgeo:{name}' is of type '{architecture or 'unknown'}'; "
            "only plain vision transformers can be used"
        )
    if file is not None:
        state = read_state(file)
    else:
        try:
            state = dict(entry.get_state_dict(progress=False))
        except OSError as error:
            raise BackboneError(_no_download(f"torchgeo:{name}", error)) from error
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise BackboneError(
                f"backbone.name 'torchgeo:{name}': what was downloaded is damaged "
                f"({reason(error)}); delete it from torch's cache and try again"
            ) from error
    return Weights(architecture, state, _torchgeo_bands(entry.meta))


def _torchgeo_bands(meta: dict[str, Any]) -> tuple[Band, ...]:
    names: Sequence[str] = meta.get("bands") or []
    channels = int(meta.get("in_chans", len(names)))
    for candidate in ("sentinel1", "sentinel2-l1c", "sentinel2-l2a"):
        bands = {band.name: band for band in sensor(candidate).bands}
        spelled = [f"B{n[1:].zfill(2)}" if n.startswith("B") else n for n in names]
        if spelled and len(spelled) == channels and all(n in bands for n in spelled):
            return tuple(bands[n] for n in spelled)
    fallback = {2: "sentinel1", 3: "rgb", 12: "sentinel2-l2a", 13: "sentinel2-l1c"}
    if channels not in fallback:
        raise BackboneError(
            f"weights trained on {channels} bands named {list(names)}: these bands are not known"
        )
    return sensor(fallback[channels]).bands[:channels]


def _no_download(name: str, error: Exception) -> str:
    why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return (
        f"backbone.name '{name}' is not in the cache and could not be downloaded ({why}); "
        "download its weights elsewhere and pass them with backbone.file: PATH.safetensors"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors file, or from a pickle without running its code.

    Of a masked autoencoder only the encoder is read.

    Raises:
        BackboneError: The file is missing, unreadable, or holds no tensors of a plain ViT.
    """
    if not path.is_file():
        raise BackboneError(f"backbone.file '{path}' does not exist")
    if path.suffix == ".safetensors":
        try:
            return encoder_state(load_file(path))
        except (SafetensorError, OSError) as error:
            raise BackboneError(f"backbone.file '{path}' cannot be read: {error}") from error
    try:
        # MAE and its kin store their command line beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNPICKLING_ERRORS as error:
        raise BackboneError(
            f"backbone.file '{path}' cannot be loaded as plain weights: it is damaged, or holds "
            "more than tensors; save its state dict as .safetensors"
        ) from error
    for key in ("state_dict", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise BackboneError(f"backbone.file '{path}' holds no state dict of tensors")
    return encoder_state({str(key): value for key, value in content.items()})


def empty_model(weights: Weights, image_size: int, bands: int) -> VisionTransformer:
    """A timm ViT of the weights' architecture, with untrained weights and no head.

    Args:
        weights: Says which architecture.
        image_size: Side of the input in pixels, a multiple of the patch size.
        bands: Number of input bands.

    Raises:
        BackboneError: The image size does not fit the patch size or the memory.
    """
    settings: dict[str, Any] = {"img_size": image_size, "in_chans": bands, "num_classes": 0}
    with allocating(f"a backbone of backbone.image_size {image_size}"):
        if isinstance(weights.architecture, str):
            model = timm.create_model(weights.architecture, pretrained=False, **settings)
        else:
            model = VisionTransformer(**weights.architecture, **settings)
    patch = int(model.patch_embed.patch_size[0])
    if image_size % patch:
        nearest = max(patch, round(image_size / patch) * patch)
        raise BackboneError(
            f"backbone.image_size {image_size} is not a multiple of the patch size {patch}; "
            f"use {nearest}"
        )
    return model
