"""Scenes: rasters in, class map, confidence and polygons out, streamed tile by tile."""

from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.engines import Engine, Processes, ThisProcess
from rsmeta.scenes.inputs import parse_bands, scene_sources
from rsmeta.scenes.model_description import ModelDescription
from rsmeta.scenes.opening import ReadOptions
from rsmeta.scenes.pipeline import ClassifiedRows
from rsmeta.scenes.predict import ScenePrediction, predict_rows, predict_scene
from rsmeta.scenes.product_options import Product, ProductOptions, parse_products
from rsmeta.scenes.ray_engine import RayCluster, RayWorkers
from rsmeta.scenes.source import SceneSource
from rsmeta.scenes.truth import Agreement, agreement

__all__ = [
    "Agreement",
    "ClassifiedRows",
    "Engine",
    "ModelDescription",
    "Processes",
    "Product",
    "ProductOptions",
    "RayCluster",
    "RayWorkers",
    "ReadOptions",
    "ScenePrediction",
    "SceneSource",
    "ThisProcess",
    "TileClassifier",
    "agreement",
    "parse_bands",
    "parse_products",
    "predict_rows",
    "predict_scene",
    "scene_sources",
]
