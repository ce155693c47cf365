"""The registry of formats, and the way from a run folder to an exported one."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rsmeta.errors import ExportError
from rsmeta.export.onnx_file import write_onnx
from rsmeta.export.peft_folder import write_peft
from rsmeta.export.timm_folder import write_timm
from rsmeta.runs import TrainedModel, load_run

ExportFormat = Literal["timm", "onnx", "peft"]


@dataclass(frozen=True)
class Exporter:
    """A format.

    Attributes:
        write: Writes a model, in float32, into an empty folder.
        merged: Whether the model is to have its adapters folded into its weights beforehand.
        packages: Modules it needs that rsmeta does not; the extra that installs them has the name
            of the format.
    """

    write: Callable[[TrainedModel, Path], None]
    merged: bool
    packages: tuple[str, ...] = ()


FORMATS: dict[ExportFormat, Exporter] = {
    "timm": Exporter(write_timm, merged=True),
    "onnx": Exporter(write_onnx, merged=True, packages=("onnx", "onnxscript")),
    "peft": Exporter(write_peft, merged=False, packages=("peft",)),
}


def export_run(run: Path, to: ExportFormat, out: Path) -> list[Path]:
    """Write the model of a run in another format; float32 whatever the precision of training.

    Args:
        run: Run folder.
        to: `timm` (a folder that `timm.create_model` loads), `onnx` (one file, normalisation and
            head included) or `peft` (an adapter of Hugging Face peft).
        out: Folder to write; made if missing, and left as it was if the export fails.

    Returns:
        The written files, sorted.

    Raises:
        ExportError: The format cannot hold this method, a package is missing, or the folder is not
            empty or cannot be written.
        RunError: The run cannot be loaded.
    """
    exporter = FORMATS[to]
    missing = [name for name in exporter.packages if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"exporting to {to} needs {' and '.join(missing)}; pip install 'rsmeta[{to}]'"
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ExportError(f"'{out}' is not an empty folder; remove it or choose another by --out")
    model = load_run(run, merged=exporter.merged, precision="float32")
    with _filled(out) as draft:
        exporter.write(model, draft)
    return sorted(path for path in out.rglob("*") if path.is_file())


@contextmanager
def _filled(out: Path) -> Iterator[Path]:
    """A hidden folder whose files move into `out` when the block ends well."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    draft = out / ".partial"
    try:
        draft.mkdir(parents=True)
        yield draft
        for path in sorted(draft.iterdir()):
            path.rename(out / path.name)
    except OSError as error:
        raise ExportError(f"'{out}' cannot be written: {error}; choose another by --out") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in made:  # the innermost first; what holds files stays
            with suppress(OSError):
                folder.rmdir()
