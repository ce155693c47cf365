"""What users install is the wheel: it holds all of the package, and works without the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow

RECIPE = """
name: tiny
data: {source: simulator, largest_class: 4, imbalance: 2, test_per_class: 1}
backbone: {image_size: 32}
inner: {epochs: 1, batch_size: 8}
outer: {every: 2, batch_size: 11}
peft: {rank: 2, blocks: "last:2"}
"""


def run(*command, cwd):
    """Run a command that knows nothing of the checkout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """Folder of the programs of an environment with the wheel; dependencies are those of here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=folder)
    # Files of paths within these folders, as that of the checkout, are not followed.
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(paths))
    return folder / "bin"


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    held = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    files = [path for path in (ROOT / "rsmeta").rglob("*") if path.is_file()]
    here = {path.relative_to(ROOT) for path in files if "__pycache__" not in path.parts}
    assert {Path(name) for name in held} == here
    assert {path.suffix for path in here} >= {".py", ".safetensors", ".j2", ".css", ".js", ".md"}


def test_the_installed_wheel_trains_and_predicts(programs, tmp_path):
    code = "import rsmeta; print(rsmeta.__file__)"
    found = Path(run(programs / "python", "-c", code, cwd=tmp_path).strip())
    assert found.is_relative_to(programs.parent)
    rsmeta = programs / "rsmeta"
    run(rsmeta, "simulate", "--sensor", "sar", "--size", 128, "scene.tif", cwd=tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    run(rsmeta, "finetune", "tiny.yaml", cwd=tmp_path)
    run(rsmeta, "predict", "scene.tif", "--products", "all", cwd=tmp_path)
    made = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert made >= {"scene_classes.tif", "scene_polygons.gpkg", "scene_report.html"}
    # Style sheets and scripts are written into the pages.
    assert "leaflet" in (tmp_path / "predictions" / "scene_webmap.html").read_text()
    assert (tmp_path / "runs" / "latest" / "report.html").is_file()
