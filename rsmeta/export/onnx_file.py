"""One ONNX file: images in physical units in, logits out."""

import json
import warnings
from pathlib import Path

import torch

from rsmeta.errors import ExportError
from rsmeta.export.description import describe
from rsmeta.models.classifier import ChipClassifier
from rsmeta.runs import TrainedModel

_LARGEST = 2**31 - 2**26
"""Bytes of weights that fit into one file: protobuf ends at 2 GiB, and the graph needs some."""

_LARGEST_BATCH = 2**31 - 1
"""Without a bound of its own, PyTorch 2.7 finds that a batch might be the largest of integers."""


def write_onnx(model: TrainedModel, folder: Path) -> None:
    """Write `model.onnx`, which maps `images` to `logits` and carries the facts as metadata.

    `images` is (batch, bands, size, size), float32, in the physical units of the bands, with the
    image size of the recipe; `logits` is (batch, classes), float32. The values of the metadata are
    JSON. Weights that do not fit into one file of 2 GiB go to `model.onnx.data` beside it.

    Args:
        model: The model, merged as far as it can be.
        folder: Where to write.

    Raises:
        ExportError: PyTorch cannot express this model in ONNX.
    """
    import onnx

    classifier = model.classifier.requires_grad_(False)
    size = sum(tensor.nbytes for tensor in classifier.state_dict().values())
    program = _program(classifier, len(model.bands), model.recipe.backbone.image_size)
    for node in program.model.graph:
        node.metadata_props.clear()  # the exporter's stack traces, with files of this machine
    facts = describe(model)
    program.model.metadata_props.update({key: json.dumps(facts[key]) for key in facts})
    path = folder / "model.onnx"
    program.save(path, external_data=size > _LARGEST)
    onnx.checker.check_model(path, full_check=True)


def _program(classifier: ChipClassifier, bands: int, size: int) -> torch.onnx.ONNXProgram:
    # Two images: with one, the exporter would take the batch for a constant.
    images = torch.zeros(2, bands, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about PyTorch's own insides
        try:
            program = torch.onnx.export(
                classifier,
                (images,),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch", max=_LARGEST_BATCH)},),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0]
            raise ExportError(f"the model cannot be expressed in ONNX: {reason}") from error
    assert program is not None
    return program
