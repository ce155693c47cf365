"""The summary of a scene: how much of it is of which class, and by what it was classified."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.cell_map import CellMap
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
        "scene": {"name": scene.name, "fingerprint": fingerprint(scene)},
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


def fingerprint(scene: OpenScene) -> str:
    """SHA-256 of what tells a scene from others without reading its pixels.

    That is, of each raster: its path, its shape and types, its georeferencing, and for a local
    file its size and the time it was changed.
    """
    seen = {}
    for layer in scene.layers:
        dataset, file = layer.dataset, Path(layer.path)
        status = file.stat() if file.is_file() else None
        seen[layer.path] = [
            dataset.shape,
            dataset.dtypes,
            tuple(dataset.transform),
            None if status is None else [status.st_size, status.st_mtime_ns],
        ]
    place = scene.georeference
    points = [(point.row, point.col, point.x, point.y) for point in place.gcps]
    text = json.dumps([seen, str(place.crs), points], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
