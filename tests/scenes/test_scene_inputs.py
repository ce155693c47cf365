import subprocess
import sys
import zipfile

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from rsmeta.errors import SceneError
from rsmeta.scenes import parse_bands, predict_scene, scene_sources
from rsmeta.scenes.opening import open_scene
from rsmeta.scenes.source import RasterPart, stem

# As http.server, but with byte ranges, which GDAL asks for.
SERVER = """
import re, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        file = Path(sys.argv[1]) / self.path.strip("/")
        if not file.is_file():
            return self.send_error(404)
        content = file.read_bytes()
        start, stop = 0, len(content)
        asked = re.fullmatch(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range", ""))
        if asked:
            start, stop = int(asked[1]), min(stop, int(asked[2] or stop) + 1)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(stop - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[start:stop])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass

with HTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""


def names(*inputs, **options):
    return [source.name for source in scene_sources(inputs, **options)]


@pytest.fixture
def folder(tmp_path):
    """A folder of files that are never opened."""
    for name in (
        "b.tif", "a.TIF", "a.TIF.aux.xml", "b.tif.ovr", "b.tif.msk", "c.vrt", "d.jp2", "notes.txt",
        "e.hdr", "tiles.gpkg", ".hidden.tif", "readme.rst",
    ):  # fmt: skip
        (tmp_path / name).touch()
    (tmp_path / "inner.tif").mkdir()
    return tmp_path


def test_a_folder_gives_its_rasters_without_sidecars(folder):
    assert names(folder) == ["a", "b", "c", "d"]


def test_a_glob_gives_files_without_sidecars(folder):
    assert names(f"{folder}/b.*") == ["b"]
    assert names(f"{folder}/[ab].*") == ["a", "b"]
    assert names(f"{folder}/**/c.vrt") == ["c"]
    (folder / "odd[1].tif").touch()
    assert names(f"{folder}/odd[1].tif") == ["odd[1]"]


def test_a_list_names_one_input_a_line_from_its_folder(folder):
    listed = folder / "scenes.txt"
    listed.write_text("# two\nb.tif\n\n  c.vrt  \n/vsicurl/http://host/x.tif\n")
    found = scene_sources([listed])
    assert [source.origin for source in found] == [
        f"{folder}/b.tif", f"{folder}/c.vrt", "/vsicurl/http://host/x.tif",
    ]  # fmt: skip
    listed.write_text("scenes.txt\n")
    with pytest.raises(SceneError, match="names another list"):
        scene_sources([listed])


@pytest.mark.parametrize(
    ("text", "message"),
    [("empty", "holds no raster"), ("x*.tif", "no raster matches"), ("x*_{band}.tif", "no file"),
     ("blank.txt", "names no scene")],
)  # fmt: skip
def test_inputs_without_scenes(tmp_path, text, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text("# nothing\n")
    with pytest.raises(SceneError, match=message):
        scene_sources([tmp_path / text])
    with pytest.raises(SceneError, match="no scene was given"):
        scene_sources([])


def test_scenes_of_one_name_are_refused_with_both_paths(folder):
    (folder / "B.img").touch()
    with pytest.raises(SceneError, match=r"named 'b' .*B\.img and .*b\.tif"):
        scene_sources([folder])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("dir/2018-10-13, L1C, B01.tiff", "2018-10-13, L1C, B01"),
        ("https://host/a/b.tif?token=x/y.z", "b"),
        ("/vsizip/a.zip/in/b.tif", "b"),
        ('NETCDF:"dir/a.nc":band', "a_band"),
        ("s3://bucket/key/c.tif", "c"),
    ],
)
def test_names_of_products(path, name):
    assert stem(path) == name


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], None),
        (["B02,B03"], ("B02", "B03")),
        (["B02=a, b.tif,B03=c.tif"], {"B02": "a, b.tif", "B03": "c.tif"}),
        (["VV=x=1/v.tif", "VH=h.tif"], {"VV": "x=1/v.tif", "VH": "h.tif"}),
    ],
)
def test_bands_option(texts, expected):
    assert parse_bands(texts) == expected


@pytest.mark.parametrize("texts", [["B02,,B03"], ["B02=a.tif", "B03"], ["B02="], ["B02,B02"]])
def test_unreadable_bands_option(texts):
    with pytest.raises(SceneError, match="--bands"):
        parse_bands(texts)


def test_band_files_do_not_go_with_scenes(folder):
    with pytest.raises(SceneError, match="does not go with files in --bands"):
        scene_sources([folder / "b.tif"], {"VV": "x.tif"})


def test_band_patterns(tmp_path):
    for scene in ("S2 one", "S2 two"):
        for band in ("B02", "B03"):
            (tmp_path / f"{scene}, {band}.tif").touch()
    found = scene_sources([f"{tmp_path}/S2 *, {{band}}.tif"])
    assert [source.name for source in found] == ["S2 one", "S2 two"]
    assert found[1].parts(("B03",)) == (RasterPart(f"{tmp_path}/S2 two, B03.tif", ("B03",)),)
    (one,) = scene_sources([f"{tmp_path}/x_{{band}}_10m.tif"], ("B02", "B04"))
    assert one.name == "x_10m"
    assert [part.bands for part in one.parts(("B04", "B02"))] == [("B02",), ("B04",)]


def test_single_band_files_equal_the_scene_in_one_file(write_scene, noise, softmax, tmp_path):
    values = noise(40, 30, bands=2)
    values[0, 3:9, 4:20] = -99  # the other band is valid there
    paths = [write_scene(values[i], f"x_{name}.tif", nodata=-99) for i, name in enumerate("vh")]
    whole = predict_scene(
        write_scene(values, "whole.tif", nodata=-99), softmax(("VV", "VH")), tmp_path / "whole"
    )
    (source,) = scene_sources([], {"VH": str(paths[1]), "HH": "absent.tif", "VV": str(paths[0])})
    (pattern,) = scene_sources([f"{tmp_path}/x_{{band}}.tif"], ("v", "h"))
    assert pattern.name == "x"
    done = predict_scene(source, softmax(("VV", "VH")), tmp_path / "parts")
    for product in ("classes", "confidence"):
        with (
            rasterio.open(getattr(whole, product)) as one,
            rasterio.open(getattr(done, product)) as two,
        ):
            np.testing.assert_array_equal(one.read(), two.read())
            assert one.profile["transform"] == two.profile["transform"]


def test_names_given_for_the_bands_of_a_file(write_scene, noise, softmax, tmp_path):
    values = noise(20, 20, bands=3)
    path = write_scene(values)
    (source,) = scene_sources([path], ("HH", "VH", "VV"))
    plain = predict_scene(write_scene(values[[2, 1]], "plain.tif"), softmax(("VV", "VH")), tmp_path)
    named = predict_scene(source, softmax(("VV", "VH")), tmp_path)
    with rasterio.open(plain.confidence) as one, rasterio.open(named.confidence) as two:
        np.testing.assert_array_equal(one.read(), two.read())
    (short,) = scene_sources([path], ("VH", "VV"))
    with pytest.raises(SceneError, match=r"has 3 data band\(s\); 2 are named"):
        predict_scene(short, softmax(("VV", "VH")), tmp_path)


@pytest.fixture
def server(tmp_path):
    """A server of the folder; a process of its own, for GDAL waits without letting threads run."""
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        yield f"http://127.0.0.1:{running.stdout.readline().strip()}"
        running.terminate()


def read(name):
    (source,) = scene_sources([name])
    with open_scene(source, ("VV",)) as scene:
        return scene.read(rasterio.windows.Window(0, 0, scene.width, scene.height), (1,))[0]


def test_virtual_files_and_urls(write_scene, noise, constant, tmp_path, server):
    path = write_scene(noise(30, 20))
    expected = read(path)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, "in/scene.tif")
    rasterio.shutil.copy(path, tmp_path / "scene.vrt", driver="VRT")
    with MemoryFile(path.read_bytes(), filename="memory.tif") as memory:
        for name in (
            f"/vsizip/{tmp_path}/all.zip/in/scene.tif", f"zip://{tmp_path}/all.zip!in/scene.tif",
            memory.name, f"{server}/scene.tif", f"/vsicurl/{server}/scene.tif",
            tmp_path / "scene.vrt",
        ):  # fmt: skip
            np.testing.assert_array_equal(read(name), expected)
    done = predict_scene(f"{server}/scene.tif", constant(), tmp_path / "out")
    assert done.classes.name == "scene_classes.tif"
    with pytest.raises(SceneError, match=r"absent\.tif' cannot be opened"):
        read(f"{server}/absent.tif")


def test_containers_name_their_subdatasets(write_scene, noise, tmp_path):
    path = write_scene(noise(30, 20, bands=2))
    container = tmp_path / "cube.nc"
    rasterio.shutil.copy(path, container, driver="netCDF")
    with pytest.raises(SceneError, match=r"cube\.nc.*container.*:Band1, .*:Band2") as caught:
        read(container)
    assert "\n" not in str(caught.value)
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(read(f'NETCDF:"{container}":Band2')[0], source.read(2))


def test_palette_images_are_refused(write_scene, constant, tmp_path):
    path = write_scene(np.zeros((1, 20, 20), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255)})
    with pytest.raises(SceneError, match=r"scene\.tif.*colour palette"):
        predict_scene(path, constant(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
