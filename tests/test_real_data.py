"""The real path on real data, where the optional folder is present."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from rsmeta.data.chips import ChipFiles

ROOT = Path(__file__).parent.parent
MSTAR = ROOT / "recipes" / "mstar_longtail.yaml"


@pytest.fixture(scope="module")
def mstar_run(shared, rsmeta_command, tmp_path_factory):
    """One short epoch of MetaPEFT on real SAR chips with the real backbone; its folder."""
    folder = tmp_path_factory.mktemp("mstar")
    data = f"data.file={shared.resolve()}/data/mstar10/manifest.csv"
    weights = f"{shared.resolve()}/backbones/vit_small_patch14_dinov2.safetensors"
    options = [f"--set={data}", f"--set=backbone.file={weights}", "--set=inner.epochs=1"]
    # Processors without bfloat16 take many times as long with it.
    options += ["--set=backbone.image_size=42", "--set=compute.precision=float32"]
    rsmeta_command("finetune", MSTAR, *options, cwd=folder)
    return folder


@pytest.mark.slow
def test_finetune_on_real_sar_chips(mstar_run):
    run = mstar_run / "runs" / "latest"
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["train_chips"], metrics["test_chips"]) == (654, 2425)
    assert metrics["accuracy"]["average"] > 0.2  # ten classes
    assert sorted(metrics["groups"]["head"]) == ["T72", "ZIL131"]
    assert len(metrics["groups"]["tail"]) == 4
    assert (pd.read_csv(run / "modulators.csv")["gamma"] != 1).all()


@pytest.mark.slow
def test_predict_a_real_sar_scene(mstar_run, shared, rsmeta_command):
    path = shared / "data" / "scenes" / "sar" / "s1_vv_db_nodata-99_f32.tif"
    rsmeta_command("predict", path.resolve(), "--resolution", "pixel", cwd=mstar_run)
    products = mstar_run / "predictions"
    with (
        rasterio.open(path) as scene,
        rasterio.open(products / f"{path.stem}_classes.tif") as classes,
        rasterio.open(products / f"{path.stem}_confidence.tif") as confidence,
    ):
        for product in (classes, confidence):
            assert product.crs == scene.crs
            assert product.bounds == scene.bounds
            assert product.shape == scene.shape
            assert np.array_equal(product.read_masks(1) > 0, scene.read_masks(1) > 0)


@pytest.mark.parametrize(("name", "bands", "crop"), [("aid30", 3, None), ("opensarship", 2, 32)])
def test_chips_of_other_real_sets_are_read(shared, name, bands, crop):
    folder = shared / "data" / name
    table = pd.read_csv(folder / "manifest.csv")
    if "bands" in table:
        table = table[table["bands"] == bands]
    paths = [folder / path for path in table["path"].iloc[:20]]
    chips = ChipFiles(paths, np.zeros(len(paths), dtype=np.int64), bands, crop)
    assert len(chips) == 20
    for index in range(len(chips)):
        chip = chips.read(index)
        assert chip.shape[0] == bands
        assert np.isfinite(chip).all()
