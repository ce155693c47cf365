"""Rasters on a web server that fails for a while, or says nothing more."""

import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from scene_files import write_raster

from rsmeta.errors import SceneError
from rsmeta.rasters import open_raster, read_masked, reading_options

# The first part of a path is what happens: `failN` fails N times, `stall` never answers, `half`
# stops in the middle of the pixels.
SERVER = """
import re, sys, time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

content = Path(sys.argv[1]).read_bytes()
asked = Counter()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked[self.path] += 1
        does = self.path.split("/")[1]
        if does == "stall":
            time.sleep(60)
        if does.startswith("fail") and asked[self.path] <= int(does[4:]):
            return self.send_error(503)
        start, stop = 0, len(content)
        part = re.fullmatch(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range", ""))
        if part:
            start, stop = int(part[1]), min(stop, int(part[2] or stop) + 1)
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(stop - start))
        if part:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            middle = stop if does != "half" or start < 16_000 else (start + stop) // 2
            self.wfile.write(content[start:middle])
            if middle < stop:
                self.wfile.flush()
                time.sleep(60)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass

with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serves a GeoTIFF; gives the address and its values."""
    folder = tmp_path_factory.mktemp("web")
    values = np.random.default_rng(0).normal(size=(1, 300, 300)).astype(np.float32)
    file = write_raster(folder / "scene.tif", values)
    command = [sys.executable, "-c", SERVER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", values
        process.terminate()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A user's own limits, so that tests do not take minutes."""
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_server_that_fails_twice_is_asked_again(server):
    address, values = server
    with open_raster(f"{address}/fail2/scene.tif") as dataset:
        np.testing.assert_array_equal(read_masked(dataset)[0], values)


def test_a_server_that_goes_on_failing_is_given_up(server):
    address, _ = server
    with (
        pytest.raises(SceneError, match="503") as caught,
        open_raster(f"{address}/fail99/scene.tif"),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["stall", "half"])
def test_a_server_that_stalls_is_given_up_after_the_timeout(server, monkeypatch, where):
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    address, _ = server
    started = time.perf_counter()
    with pytest.raises(SceneError), open_raster(f"{address}/{where}/scene.tif") as dataset:
        read_masked(dataset)
    assert 1 <= time.perf_counter() - started < 15


def test_waiting_is_bounded_by_default_and_the_users_limits_go_before(monkeypatch):
    for name in ("GDAL_HTTP_TIMEOUT", "GDAL_HTTP_RETRY_DELAY"):
        monkeypatch.delenv(name)
    found = reading_options()
    assert found["GDAL_HTTP_CONNECTTIMEOUT"] == "10" and found["GDAL_HTTP_TIMEOUT"] == "60"
    assert found["GDAL_HTTP_MAX_RETRY"] == "3" and found["GDAL_VRT_ENABLE_PYTHON"] == "NO"
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "600")
    assert "GDAL_HTTP_TIMEOUT" not in reading_options()
    with rasterio.Env(GDAL_HTTP_MAX_RETRY=9):
        assert "GDAL_HTTP_MAX_RETRY" not in reading_options()
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
    assert reading_options()["GDAL_VRT_ENABLE_PYTHON"] == "NO"
