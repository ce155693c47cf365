"""Prediction in another precision than that of the training."""

import numpy as np
import rasterio
from scene_files import write_raster

from rsmeta.prediction import predict
from rsmeta.prediction_options import PredictionOptions
from rsmeta.runs import load_run


def test_bfloat16_is_near_float32_and_not_taken_for_it(finished_run, tmp_path):
    _, run = finished_run
    model = load_run(run, merged=True)
    values = np.random.default_rng(0).normal(-12, 5, (len(model.bands), 64, 96))
    scene = write_raster(tmp_path / "scene.tif", values.astype(np.float32), names=model.bands)

    def confidence(precision):
        options = PredictionOptions(precision=precision, resolution="cell")
        (done,) = predict([scene], run, tmp_path / "out", options, model=model)
        with rasterio.open(done.confidence) as dataset:
            return dataset.read(1)

    full = confidence(None)
    low = confidence("bfloat16")
    assert not np.array_equal(low, full)
    np.testing.assert_allclose(low, full, atol=0.05)
    np.testing.assert_array_equal(confidence("float32"), full)
    assert load_run(run, merged=True, precision="float32").fingerprint == model.fingerprint
