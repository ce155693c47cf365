"""Scenes: a GeoTIFF in, class map, confidence and polygons out, streamed tile by tile."""

from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.predict import ScenePrediction, predict_scene
from rsmeta.scenes.truth import Agreement, agreement

__all__ = ["Agreement", "ScenePrediction", "TileClassifier", "agreement", "predict_scene"]
