"""The summary of a scene: how much of it is of which class, and by what it was classified."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.cell_map import CellMap
from rsmeta.scenes.fingerprints import scene_fingerprint
from rsmeta.scenes.opening import OpenScene

_BINS = 20


def summary(
    scene: OpenScene,
    cells: CellMap,
    pixel_area: NDArray[np.float32] | None,
    model: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What `<scene>_summary.json` holds.

    Args:
        scene: The open scene.
        cells: Its classes.
        pixel_area: See `rsmeta.scenes.areas.pixel_areas`.
        model: What is known of the model.
        options: What was asked for.

    Returns:
        The scene with its fingerprint, the model, the options, and over valid pixels: number,
        share and area (`area_m2`, null where the scene does not tell where it lies) of each class,
        mean and histogram of the confidence.
    """
    valid = int(cells.valid_pixels.sum(dtype=np.int64))
    pixels = cells.sum_per_class(cells.valid_pixels)
    areas = None if pixel_area is None else cells.sum_per_class(cells.valid_pixels * pixel_area)
    classes = [
        {
            "class_id": value,
            "class": name,
            "pixels": int(pixels[value]),
            "share": float(pixels[value] / valid) if valid else None,
            "area_m2": None if areas is None else round(float(areas[value]), 2),
        }
        for value, name in enumerate(cells.legend.names)
    ]
    return {
        "scene": {"name": scene.name, "fingerprint": scene_fingerprint(scene)},
        "model": dict(model),
        "options": dict(options),
        "valid_pixels": valid,
        "area_m2": None if areas is None else round(float(areas.sum()), 2),
        "classes": classes,
        "confidence": _confidence(cells, valid),
    }


def _confidence(cells: CellMap, valid: int) -> dict[str, Any]:
    edges = np.linspace(0, 1, _BINS + 1)
    counts, total = np.zeros(_BINS), 0.0
    for row, weights in zip(cells.confidence, cells.valid_pixels, strict=True):
        there = np.isfinite(row)
        counts += np.histogram(row[there], edges, weights=weights[there])[0]
        total += float(np.dot(row[there].astype(np.float64), weights[there]))
    return {
        "mean": total / valid if valid else None,
        "histogram": {
            "edges": edges.round(2).tolist(),
            "pixels": counts.astype(np.int64).tolist(),
        },
    }
