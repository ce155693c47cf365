"""The pictures of the README, made by what `make demo` runs: its gammas, and its scene classified.

    python benchmarks/readme_figures.py

About three minutes on two cores. `--run` takes a run of the demo's recipe that is there already.
"""

import argparse
import io
import tempfile
from pathlib import Path

import pandas as pd
from PIL import Image

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator.product import write_scene
from rsmeta.finetuning import finetune
from rsmeta.prediction import predict
from rsmeta.prediction_options import PredictionOptions
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.report.figures import modulator_map
from rsmeta.report.plot import Plot
from rsmeta.scenes import Product

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "images"
RECIPE = ROOT / "recipes" / "sar_cross_spectral.yaml"
SIZE, SEED = 1024, 7  # of the demo's scene
WIDTH, COLOURS = 640, 128
LARGEST = 150_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="run folder; default: train one")
    run = parser.parse_args().run
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if run is None:
            recipe = read_recipe(Recipe, RECIPE).model_copy(update={"runs": work / "runs"})
            run = finetune(recipe).folder
        write(FOLDER / "gamma_map.png", gamma_map(run))
        write(FOLDER / "predicted_scene.png", predicted_scene(run, work))


def gamma_map(run: Path) -> bytes:
    table = pd.read_csv(run / "modulators.csv")
    return Plot("modulators", "", modulator_map, table, (6.4, 3.8)).png()


def predicted_scene(run: Path, work: Path) -> bytes:
    scene = write_scene(work / "scene.tif", SimulatedSensor.SAR, SIZE, SEED).scene
    (done,) = predict([scene], run, work, PredictionOptions(products="quicklook"))
    return done.files[Product.QUICKLOOK].read_bytes()


def write(path: Path, png: bytes) -> None:
    """Write a picture in the width of a page, with few colours."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    height = round(image.height * WIDTH / image.width)
    small = image.resize((WIDTH, height), Image.Resampling.LANCZOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    # An octree keeps the colours of the legend, which are few pixels.
    few = small.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"'{path}' has {size} bytes, more than {LARGEST}; lower WIDTH or COLOURS")
    print(f"{path.relative_to(ROOT)}: {size} bytes")


if __name__ == "__main__":
    main()
