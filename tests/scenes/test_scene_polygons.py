import geopandas
import numpy as np
import pytest
import rasterio
from rasterio import features
from rasterio.transform import from_origin

from rsmeta.scenes import predict_scene


def predict(scene, model, tmp_path, **options):
    done = predict_scene(scene, model, tmp_path / "out", **options)
    with rasterio.open(done.classes) as out:
        classes = out.read(1)
    with rasterio.open(done.confidence) as out:
        confidence = out.read(1)
    return geopandas.read_file(done.polygons, layer="classes"), classes, confidence


def test_polygons_cover_exactly_the_valid_cells(write_scene, noise, softmax, tmp_path):
    values = noise(61, 45)
    values[:, 8:27, :19] = np.nan
    scene = write_scene(values)
    frame, classes, confidence = predict(scene, softmax(), tmp_path)
    with rasterio.open(scene) as source:
        burned = features.rasterize(
            zip(frame.geometry, frame.class_id, strict=True),
            out_shape=source.shape, transform=source.transform, fill=255,
        )  # fmt: skip
        bounds = source.bounds
    valid = classes != 255
    np.testing.assert_array_equal(burned[valid], classes[valid])
    # Beyond valid pixels, only the rest of cells that hold one.
    held = valid.copy()
    for y in range(0, 61, 8):
        for x in range(0, 45, 8):
            held[y : y + 8, x : x + 8] = valid[y : y + 8, x : x + 8].any()
    np.testing.assert_array_equal(burned != 255, held)
    # On the central meridian of a UTM zone the map is 0.9996 of the ground.
    np.testing.assert_allclose(frame.area_m2, frame.area / 0.9996**2, rtol=1e-6)
    assert frame.area.sum() == pytest.approx(held.sum() * 100)
    assert frame.union_all().area == pytest.approx(frame.area.sum())  # no overlap
    np.testing.assert_allclose(frame.total_bounds, bounds)
    names = np.array(["water", "forest", "urban"])
    assert (names[frame.class_id] == frame["class"]).all()
    weighted = 0.0
    for geometry, mean in zip(frame.geometry, frame.confidence, strict=True):
        inside = features.geometry_mask(
            [geometry], classes.shape, from_origin(500_000, 4_800_000, 10, 10), invert=True
        )
        assert mean == pytest.approx(confidence[inside & valid].mean(), rel=1e-5)
        weighted += mean * (inside & valid).sum()
    assert weighted == pytest.approx(np.nansum(confidence), rel=1e-5)


def test_areas_are_of_the_ground_whatever_the_crs(write_scene, noise, constant, tmp_path):
    feet = write_scene(noise(20, 30), crs="EPSG:2263", transform=from_origin(9e5, 2e5, 10, 10))
    frame, *_ = predict(feet, constant(), tmp_path)
    # That zone's map is within 1e-4 of the ground, in US survey feet.
    assert frame.area_m2.sum() == pytest.approx(20 * 30 * 100 * (1200 / 3937) ** 2, rel=3e-4)
    stretched = write_scene(noise(20, 30), crs="EPSG:3857", transform=from_origin(0, 8.4e6, 10, 10))
    frame, *_ = predict(stretched, constant(), tmp_path)
    assert frame.area_m2.sum() < 0.3 * frame.area.sum()  # 60 degrees north
    nowhere = write_scene(noise(20, 30), crs=None, transform=None)
    frame, *_ = predict(nowhere, constant(), tmp_path)
    assert "area_m2" not in frame
    degrees = write_scene(noise(20, 30), crs="EPSG:4326", transform=from_origin(0, 1, 0.1, 0.1))
    frame, *_ = predict(degrees, constant(), tmp_path)
    # 3° × 2° around the equator, WGS 84: 110.574 km a degree north, 111.320 km a degree east.
    assert frame.area_m2.sum() == pytest.approx(3 * 111_320 * 2 * 110_574, rel=1e-3)


@pytest.mark.parametrize(("north", "rows"), [(90, 180), (60, 20), (60, 120)])
def test_areas_of_regions_around_the_globe(write_scene, noise, constant, tmp_path, north, rows):
    place = {"crs": "EPSG:4326", "transform": from_origin(-180, north, 1, 1)}
    frame, *_ = predict(write_scene(noise(rows, 360), **place), constant(), tmp_path)
    # Zone of the sphere of the same surface as WGS 84, 2πR²(sin φ1 − sin φ2).
    sines = np.sin(np.radians([north, north - rows]))
    zone = 2 * np.pi * 6_371_007.18**2 * (sines[0] - sines[1])
    assert frame.area_m2.sum() == pytest.approx(zone, rel=1e-6 if rows == 180 else 5e-3)


def test_area_agrees_with_geodesics(write_scene, noise, softmax, tmp_path):
    place = {"crs": "EPSG:4326", "transform": from_origin(5, 47, 1e-4, 1e-4)}
    frame, *_ = predict(write_scene(noise(40, 50), **place), softmax(), tmp_path)
    geod = frame.crs.get_geod()
    expected = [abs(geod.geometry_area_perimeter(g)[0]) for g in frame.geometry]
    np.testing.assert_allclose(frame.area_m2, expected, rtol=1e-5)
