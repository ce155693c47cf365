import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rio_cogeo import cog_validate

from rsmeta.errors import SceneError
from rsmeta.scenes import predict_scene


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (5, 9), (1, 1), (16, 100), (17, 16)])
@pytest.mark.parametrize(("tile", "stride"), [(16, None), (16, 16), (16, 12), (16, 1), (7, 3)])
def test_constant_model_gives_constant_map_to_the_border(
    write_scene, noise, constant, tmp_path, size, tile, stride
):
    scene = write_scene(noise(*size))
    done = predict_scene(scene, constant(tile_size=tile), tmp_path / "out", stride=stride)
    assert read(done.classes).shape == size
    assert (read(done.classes) == 1).all()
    assert (read(done.confidence) == np.float32(0.7)).all()
    assert done.pixels == {"water": 0, "forest": size[0] * size[1], "urban": 0}


def reference(values, valid, model, tile, stride):
    """Blend over the whole padded array, pixel by pixel, in float64."""
    height, width = values.shape[1:]
    starts = [range(0, max(s - tile, 0) + stride, stride) for s in (height, width)]
    starts = [[s for s in r if s == 0 or s - stride + tile < n]
              for r, n in zip(starts, (height, width), strict=True)]  # fmt: skip
    reach = [s[-1] + tile for s in starts]
    pad = ((0, 0), (0, reach[0] - height), (0, reach[1] - width))
    filled = np.where(valid, values, model.fill[:, None, None])
    padded = np.pad(filled, pad, mode="symmetric")
    own = np.pad(valid, pad[1:])
    sums = np.zeros((*reach, len(model.classes)))
    weights = np.zeros(reach)
    for y in starts[0]:
        for x in starts[1]:
            here = np.s_[y : y + tile, x : x + tile]
            if own[here].any():
                p = model.probabilities(padded[(slice(None), *here)][None])[0].astype(np.float64)
                sums[here] += own[here].mean() * p
                weights[here] += own[here].mean()
    mean = sums[:height, :width] / np.maximum(weights[:height, :width, None], 1e-12)
    classes = np.where(valid, mean.argmax(-1), 255)
    return classes, np.where(valid, mean.max(-1), np.nan)


@pytest.mark.parametrize("size", [(70, 53), (9, 5), (33, 200)])
@pytest.mark.parametrize("stride", [None, 16, 12, 4])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_blending_equals_whole_array_reference(
    write_scene, noise, softmax, tmp_path, size, stride, batch_size
):
    values = noise(*size, bands=2)
    values[:, : size[0] // 2, : size[1] // 3] = -99
    valid = values[0] != -99
    model = softmax(bands=("VV", "VH"))
    scene = write_scene(values, nodata=-99)
    done = predict_scene(scene, model, tmp_path / "out", stride=stride, batch_size=batch_size)
    classes, confidence = reference(values, valid, model, 16, 8 if stride is None else stride)
    np.testing.assert_array_equal(read(done.classes), classes)
    np.testing.assert_allclose(read(done.confidence), confidence, rtol=1e-6)


def test_tiles_without_valid_pixel_never_reach_the_model(write_scene, noise, constant, tmp_path):
    values = noise(64, 64)
    values[:, :, :32] = np.nan
    model = constant()
    done = predict_scene(write_scene(values), model, tmp_path / "out", stride=16, batch_size=3)
    assert done.tiles == sum(model.seen) == 8
    assert max(model.seen) <= 3
    assert (read(done.classes)[:, :32] == 255).all()
    assert np.isnan(read(done.confidence)[:, :32]).all()


def test_scene_without_any_valid_pixel_gives_empty_products(write_scene, constant, tmp_path):
    model = constant()
    scene = write_scene(np.zeros((1, 20, 30), np.uint8), nodata=0)
    done = predict_scene(scene, model, tmp_path / "out")
    assert model.seen == []
    assert (read(done.classes) == 255).all()
    assert len(geopandas.read_file(done.polygons, layer="classes")) == 0


@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha", "nan", "nan-nodata", "sidecar"])
def test_invalid_pixels_are_nodata(write_scene, noise, constant, tmp_path, kind):
    values, valid = noise(40, 30), np.ones((40, 30), dtype=bool)
    valid[3:21, 5:11] = False
    options = {}
    if kind == "nodata":
        values[:, ~valid], options = -99, {"nodata": -99}
    elif kind in ("mask", "sidecar"):
        options = {"mask": valid}
    elif kind == "alpha":
        values, options = np.concatenate([values, valid[None] * np.float32(255)]), {"alpha": True}
    else:
        values[:, ~valid] = np.nan
        options = {"nodata": np.nan} if kind == "nan-nodata" else {}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind != "sidecar"):
        scene = write_scene(values, **options)
    assert (kind == "sidecar") == Path(f"{scene}.msk").exists()
    done = predict_scene(scene, constant(), tmp_path / "out")
    np.testing.assert_array_equal(read(done.classes) != 255, valid)
    np.testing.assert_array_equal(np.isfinite(read(done.confidence)), valid)
    assert sum(done.pixels.values()) == valid.sum()


def enlarged(t, factor):
    return Affine(t.a * factor, t.b * factor, t.c, t.d * factor, t.e * factor, t.f)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000, 0, 10, 4_800_000),  # south-up
        Affine(8, 6, 500_000, 6, -8, 4_800_000),  # rotated
        Affine(10, 0, 500_000, 0, -7.5, 4_800_000),
    ],
)
@pytest.mark.parametrize("crs", ["EPSG:32631", None])
def test_georeferencing_is_kept(write_scene, noise, constant, tmp_path, transform, crs):
    scene = write_scene(noise(37, 50), transform=transform, crs=crs)
    fine = predict_scene(scene, constant(), tmp_path / "fine")
    coarse = predict_scene(scene, constant(), tmp_path / "coarse", resolution="cell")
    with rasterio.open(scene) as source:
        for done, factor in ((fine, 1), (coarse, 8)):
            for path in (done.classes, done.confidence):
                with rasterio.open(path) as out:
                    assert out.crs == source.crs
                    assert out.shape == (-(-37 // factor), -(-50 // factor))
                    assert out.transform.almost_equals(enlarged(transform, factor), 1e-6)
    frame = geopandas.read_file(fine.polygons, layer="classes")
    assert (frame.crs is None) == (crs is None)
    t = transform
    corners = [(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x in (0, 50) for y in (0, 37)]
    xs, ys = zip(*corners, strict=True)
    np.testing.assert_allclose(frame.total_bounds, [min(xs), min(ys), max(xs), max(ys)])


def test_gcps_are_carried_over_and_scaled(write_scene, noise, constant, tmp_path):
    points = [GroundControlPoint(r, c, 2 + c / 100, 48 - r / 100)
              for r, c in ((0, 0), (0, 48), (32, 0), (32, 48))]  # fmt: skip
    scene = write_scene(noise(32, 48), transform=None, crs="EPSG:4326", gcps=points)
    for resolution, factor in (("pixel", 1), ("cell", 8)):
        done = predict_scene(scene, constant(), tmp_path / resolution, resolution=resolution)
        with rasterio.open(done.classes) as out:
            gcps, crs = out.gcps
            assert crs.to_epsg() == 4326
            assert [(g.row * factor, g.col * factor) for g in gcps] == [
                (p.row, p.col) for p in points
            ]
            assert [(g.x, g.y) for g in gcps] == [(p.x, p.y) for p in points]
        frame = geopandas.read_file(done.polygons, layer="classes")
        assert frame.crs.to_epsg() == 4326
        np.testing.assert_allclose(frame.total_bounds, [2, 47.68, 2.48, 48], atol=1e-9)


def test_no_georeferencing_at_all(write_scene, noise, constant, tmp_path, recwarn):
    scene = write_scene(noise(20, 30), transform=None, crs=None)
    recwarn.clear()
    done = predict_scene(scene, constant(), tmp_path / "out")
    assert not recwarn.list
    with rasterio.open(done.classes) as out:
        assert out.crs is None
        assert out.transform.is_identity


def test_class_map_is_a_cog_with_names_and_colours(write_scene, noise, softmax, tmp_path):
    done = predict_scene(write_scene(noise(1100, 700)), softmax(), tmp_path / "out", stride=16)
    for path in (done.classes, done.confidence):
        valid, errors, warnings = cog_validate(path, strict=True)
        assert valid, (errors, warnings)
    with rasterio.open(done.classes) as out:
        assert json.loads(out.tags()["CLASS_NAMES"]) == ["water", "forest", "urban"]
        assert out.descriptions == ("class",)
        assert out.nodata == 255
        assert out.colormap(1)[0][:3] == (31, 119, 180)
        assert out.overviews(1)
    with rasterio.open(done.confidence) as out:
        assert out.dtypes == ("float32",)
        assert np.isnan(out.nodata)
    assert "<Category>forest</Category>" in Path(f"{done.classes}.aux.xml").read_text("utf-8")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "scene_classes.tif",
        "scene_classes.tif.aux.xml",
        "scene_confidence.tif",
        "scene_item.json",
        "scene_polygons.gpkg",
        "scene_summary.json",
    ]


@pytest.mark.parametrize("height", [45, 256, 700])  # less than, one and several blocks
def test_cell_map_samples_the_pixel_map(write_scene, noise, softmax, tmp_path, height):
    values = noise(height, 61)
    values[:, 8:20, 8:30] = np.nan
    scene = write_scene(values)
    fine = predict_scene(scene, softmax(), tmp_path / "fine")
    coarse = predict_scene(scene, softmax(), tmp_path / "coarse", resolution="cell")
    large = read(coarse.classes).repeat(8, 0).repeat(8, 1)[:height, :61]
    valid = np.isfinite(values[0])
    np.testing.assert_array_equal(read(fine.classes), np.where(valid, large, 255))
    np.testing.assert_array_equal(np.isfinite(read(fine.confidence)), valid)
    assert (large[8:16, 8:24] == 255).all()  # cells without a valid pixel
    assert fine.pixels == coarse.pixels


def test_two_runs_are_bit_identical(write_scene, noise, softmax, tmp_path):
    scene = write_scene(noise(100, 90))
    one, two = (predict_scene(scene, softmax(), tmp_path / name) for name in "ab")
    assert one.classes.read_bytes() == two.classes.read_bytes()
    assert one.confidence.read_bytes() == two.confidence.read_bytes()
    assert geopandas.read_file(one.polygons).equals(geopandas.read_file(two.polygons))


def test_progress_ends_at_the_number_of_tiles(write_scene, noise, constant, tmp_path):
    calls = []
    scene = write_scene(noise(64, 64))
    predict_scene(scene, constant(), tmp_path, batch_size=5, progress=lambda *c: calls.append(c))
    assert calls == sorted(calls)
    assert calls[-1] == (49, 49)


class TestBands:
    def run(self, scene, softmax, out):
        return read(predict_scene(scene, softmax(bands=("VV", "VH")), out).confidence)

    def test_by_description_in_any_order_and_case(self, write_scene, noise, softmax, tmp_path):
        vv, vh, extra = noise(40, 40, bands=3)
        plain = write_scene(np.stack([vv, vh]), "plain.tif")
        named = write_scene(
            np.stack([extra, vh, vv]), "named.tif", descriptions=("angle", "vh", "Vv")
        )
        expected = self.run(plain, softmax, tmp_path / "out")
        np.testing.assert_array_equal(self.run(named, softmax, tmp_path / "out"), expected)

    @pytest.mark.parametrize("descriptions", [(), ("bands", "bands"), ("VV",), ("one", "two")])
    def test_in_file_order(self, write_scene, noise, softmax, tmp_path, descriptions):
        scene = write_scene(noise(20, 20, bands=2), descriptions=descriptions)
        assert np.isfinite(self.run(scene, softmax, tmp_path / "out")).all()

    @pytest.mark.parametrize(
        ("bands", "descriptions"),
        [(3, ()), (1, ("VV",)), (3, ("VV", "HH", "HV")), (2, ("VH", "HH")), (2, ("VH",))],
    )
    def test_misfit_names_both_lists(
        self, write_scene, noise, softmax, tmp_path, bands, descriptions
    ):
        scene = write_scene(noise(20, 20, bands=bands), descriptions=descriptions)
        with pytest.raises(SceneError, match=rf"{bands} data band.*expects 2 \[VV, VH\]") as caught:
            self.run(scene, softmax, tmp_path / "out")
        assert all(name in str(caught.value) for name in descriptions)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride 0"),
        ({"stride": 17}, "stride 17"),
        ({"resolution": "tile"}, "resolution 'tile'"),
        ({"batch_size": 0}, "batch size 0"),
    ],
)
def test_arguments_are_checked(write_scene, noise, constant, tmp_path, options, message):
    scene = write_scene(noise(20, 20))
    with pytest.raises(SceneError, match=message):
        predict_scene(scene, constant(), tmp_path / "out", **options)


def test_too_many_classes(write_scene, noise, constant, tmp_path):
    model = constant(classes=tuple(map(str, range(65_535))))
    with pytest.raises(SceneError, match="65535 classes"):
        predict_scene(write_scene(noise(20, 20)), model, tmp_path / "out")


def test_model_that_returns_nan_is_named(write_scene, noise, constant, tmp_path):
    model = constant(row=(np.nan, 0.5, 0.5))
    with pytest.raises(SceneError, match="finite"):
        predict_scene(write_scene(noise(20, 20)), model, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_truncated_scene_leaves_nothing_behind(write_scene, noise, constant, tmp_path):
    scene = write_scene(noise(300, 300))
    scene.write_bytes(scene.read_bytes()[:200_000])
    with pytest.raises(SceneError, match=r"scene\.tif.*truncated") as caught:
        predict_scene(scene, constant(), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_older_products_survive_a_failed_run(write_scene, noise, constant, tmp_path):
    scene = write_scene(noise(300, 300))
    done = predict_scene(scene, constant(), tmp_path / "out", stride=16)
    before = done.classes.read_bytes()
    scene.write_bytes(scene.read_bytes()[:200_000])
    with pytest.raises(SceneError):
        predict_scene(scene, constant(), tmp_path / "out", stride=16)
    assert done.classes.read_bytes() == before


def test_output_folder_that_is_a_file(write_scene, noise, constant, tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(SceneError, match="cannot write"):
        predict_scene(write_scene(noise(20, 20)), constant(), tmp_path / "out")
