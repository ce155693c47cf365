"""GeoTIFFs with other headers, directories, tags and bytes, through all that reads scenes."""

import json
import struct
import warnings

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.transform import from_origin

from fuzzing.mutations import damaged, flipped, pick, truncated
from fuzzing.tiff import SIZES, layout

PLACE = {"crs": "EPSG:32631", "transform": from_origin(500_000, 4_800_000, 10, 10)}
MOST_TILES = 3000

# Width, length, bits, compression, photometric, strips, samples, rows a strip, byte counts, planar,
# predictor, colour map, tiles, sample format, ModelPixelScale, tie points, transform, geo keys,
# GDAL's metadata and nodata.
TAGS = (
    *(256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325),
    *(338, 339, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113),
    *(50844, 330, 254, 513),
)  # fmt: skip

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64, 255, 256, 4096, 5000, 8193, 32767, 32768, 34712,
           50000, 65535, 65536, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**33, 2**63 - 1, 2**63,
           2**64 - 1)  # fmt: skip

LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}

REALS = (
    0.0,
    -0.0,
    1e-300,
    1e300,
    -1.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    1e-9,
    1e9,
    180.0,
)

TEXTS = (b"<GDALMetadata>", b"&lol;", b"]]>", b"\xff\xfe", b"\x1b[2J", b"%s%n", b"nan", b"1e999",
         b"<Item name=\"SCALE\" sample=\"0\" role=\"scale\">x</Item>", b"=1+1", b"\0")  # fmt: skip


class Classifier:
    """Every tile is of the first class; any number of bands of any names."""

    classes = ("water", "forest", "urban")
    tile_size = 16
    tile_sizes = range(1, 1000)
    concurrency = 1
    fingerprint = "fuzzing"

    def __init__(self, bands):
        self.bands = bands
        self.fill = np.zeros(len(bands), np.float32)

    def convert(self, values):
        return values

    def probabilities(self, tiles):
        assert np.isfinite(tiles).all()
        return np.tile(np.float32([0.6, 0.3, 0.1]), (len(tiles), 1))


class Scenes:
    """Cases of GeoTIFFs."""

    def prepare(self, fixtures):
        folder = fixtures / "scenes"
        folder.mkdir()
        for name, (values, options) in _scenes().items():
            _write(folder / f"{name}.tif", values, dict(options))

    def warm_up(self, fixtures):
        import rsmeta.inspecting.scene
        import rsmeta.scenes  # noqa: F401

        warnings.simplefilter("ignore")
        files = sorted((fixtures / "scenes").glob("*.tif"))
        self._sound = [(file.name, file.read_bytes()) for file in files]
        self._layouts = {name: layout(content) for name, content in self._sound}

    def damage(self, rng, place):
        name, content = pick(rng, self._sound)
        found = self._layouts[name]
        for _ in range(int(rng.integers(1, 4))):
            content = pick(rng, CHANGES)(content, found, rng)
        file = place.inputs / name
        file.write_bytes(content)
        return file, int(rng.integers(6)), rng.random() < 0.12, rng.random() < 0.2

    def use(self, damaged, place):
        file, way, all_products, matching = damaged
        if way == 0:
            return _inspect(file)
        if way == 1:
            return _read_chip(file)
        return _predict(file, place.out, all_products, matching)


# --- uses -----------------------------------------------------------------------------------------


class _TooManyTilesError(Exception):
    pass


def _inspect(file):
    from rsmeta.cli.inspection_tables import band_table, scene_lines
    from rsmeta.cli.output import plain_console
    from rsmeta.inspecting.scene import inspect_scene

    found = inspect_scene(str(file))
    json.dumps(found.values(), ensure_ascii=False)
    console = plain_console()
    with console.capture():
        console.print(*scene_lines(found), band_table(found))
    return "inspected"


def _read_chip(file):
    from rsmeta.data.chips import ChipFiles
    from rsmeta.errors import DataError
    from rsmeta.rasters import data_indexes, open_raster

    with open_raster(file, DataError) as dataset:
        bands = len(data_indexes(dataset))
    chips = ChipFiles([file], np.zeros(1, np.int64), bands, None)
    chips.pixel_size(0)
    assert chips.read(0).shape[0] == bands
    return "chip"


def _predict(file, out, all_products, matching):
    """What a person would do: the bands are those that `inspect` shows."""
    from rsmeta.inspecting.scene import inspect_scene
    from rsmeta.scenes import Product, ProductOptions, ReadOptions, predict_scene

    def stop(done, total):
        if total > MOST_TILES:
            raise _TooManyTilesError

    found = inspect_scene(str(file))
    names = tuple(f"band {number}" for number, _ in enumerate(found.bands, 1))
    products = ProductOptions(frozenset(Product)) if all_products else None
    few = ProductOptions(frozenset({Product.CLASSES, Product.SUMMARY, Product.GPKG}))
    options = ReadOptions("amplitude", 10.0 if matching else None, matching)
    try:
        predict_scene(
            str(file), Classifier(names), out, options=options, products=products or few,
            progress=stop,
        )  # fmt: skip
    except _TooManyTilesError:
        return "large scene, stopped"
    return "predicted"


# --- sound scenes ---------------------------------------------------------------------------------


def _scenes():
    rng = np.random.default_rng(0)
    real = rng.normal(-12, 3, size=(1, 40, 36)).astype(np.float32)
    byte = rng.integers(0, 255, size=(3, 32, 48)).astype(np.uint8)
    short = rng.integers(0, 5000, size=(4, 33, 31)).astype(np.uint16)
    corners = [(r, c) for r in (0, 40) for c in (0, 36)]
    points = [GroundControlPoint(r, c, 3 + c / 1e4, 43 - r / 1e4) for r, c in corners]
    one, zeros = [1.0] + [0.0] * 19, [0.0] * 17
    rpcs = RPC(
        height_off=400, height_scale=100, lat_off=50, lat_scale=1 / 36, long_off=8,
        long_scale=1 / 36, line_off=20, line_scale=100, samp_off=18, samp_scale=100,
        line_num_coeff=[0, 0, -1.0, *zeros], line_den_coeff=one,
        samp_num_coeff=[0, 1.0, 0, *zeros], samp_den_coeff=one,
    )  # fmt: skip
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    return {
        "plain": (real, PLACE),
        "names": (short, {**PLACE, "names": ("B02", "B03", "B04", "B08"), "scales": 1e-4}),
        "tiled_deflate": (short, {**PLACE, **tiles, "compress": "deflate", "predictor": 2}),
        "float_predictor": (real, {**PLACE, "compress": "deflate", "predictor": 3}),
        "lzw_planar": (byte, {**PLACE, "compress": "lzw", "interleave": "band"}),
        "packbits": (byte[:1], {**PLACE, "compress": "packbits", "nodata": 0}),
        "jpeg": (byte, {**PLACE, **tiles, "compress": "jpeg", "interleave": "pixel"}),
        "zstd": (real, {**PLACE, "compress": "zstd", "nodata": float("nan")}),
        "big": (real, {**PLACE, "bigtiff": "yes"}),
        "big_endian": (short, {**PLACE, "endianness": "big"}),
        "one_bit": (byte[:1] % 2, {**PLACE, "nbits": 1}),
        "complex": (real.astype(np.complex64), PLACE),
        "gcps": (real, {"gcps": points, "crs": "EPSG:4326"}),
        "rpcs": (real, {"rpcs": rpcs}),
        "mask": (byte, {**PLACE, "mask": True}),
        "alpha": (np.concatenate([byte, byte[:1]]), {**PLACE, "alpha": "yes"}),
        "overviews": (np.repeat(real, 3, axis=1), {**PLACE, **tiles, "overviews": True}),
        "nowhere": (byte, {}),
        "geographic": (real, {"crs": "EPSG:4326", "transform": from_origin(3, 45, 1e-4, 1e-4)}),
        "web_mercator": (byte, {"crs": "EPSG:3857", "transform": from_origin(0, 6e6, 30, 30)}),
    }  # fmt: skip


def _write(path, values, options):
    names, scales = options.pop("names", None), options.pop("scales", None)
    mask, overviews = options.pop("mask", False), options.pop("overviews", False)
    bands, height, width = values.shape
    with (
        warnings.catch_warnings(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_NUM_THREADS=1),
    ):
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver="GTiff", count=bands, height=height, width=width,
            dtype=values.dtype, **options,
        ) as target:  # fmt: skip
            target.write(values)
            if names:
                target.descriptions = names
                target.scales = [scales] * bands
            if mask:
                target.write_mask(values[0] > 20)
            if "alpha" in options:
                target.colorinterp = [*target.colorinterp[:-1], ColorInterp.alpha]
        if overviews:
            with rasterio.open(path, "r+") as target:
                target.build_overviews([2, 4])


# --- damage ---------------------------------------------------------------------------------------


def _put(content, place, format_, value):
    """Write a number where there is room for it, as many of its bits as fit."""
    size = struct.calcsize(format_)
    if place < 0 or place + size > len(content):
        return content
    data = bytearray(content)
    if format_[-1] not in "fd":
        value = int(value) % 2 ** (8 * size)
    struct.pack_into(format_, data, place, value)
    return bytes(data)


def _other_value(content, found, rng):
    """A tag has another number."""
    entry = pick(rng, found.entries)
    order, size = found.order, SIZES.get(entry.kind, 1)
    place = entry.values + size * int(rng.integers(max(1, min(entry.count, 64))))
    if entry.kind in (11, 12):
        return _put(content, place, f"{order}{'fd'[entry.kind - 11]}", pick(rng, REALS))
    if entry.kind == 2:
        text = pick(rng, TEXTS)
        place = entry.values + int(rng.integers(max(1, entry.size)))
        return content[:place] + text + content[place + len(text) :]
    return _put(content, place, order + LETTERS[size], pick(rng, NUMBERS))


def _other_entry(content, found, rng):
    """A tag, its type or its number of values is another."""
    entry, order = pick(rng, found.entries), found.order
    kind = int(rng.integers(4))
    if kind == 0:
        return _put(content, entry.place, f"{order}H", pick(rng, TAGS))
    if kind == 1:
        return _put(content, entry.place + 2, f"{order}H", int(rng.integers(0, 20)))
    if kind == 2:
        return _put(content, entry.place + 4, found.word[0], pick(rng, NUMBERS))
    place = entry.place + 4 + found.word[1]
    return _put(content, place, found.word[0], pick(rng, (*NUMBERS, entry.place, len(content))))


def _absurd_size(content, found, rng):
    """Width, height, rows of a strip or sides of a tile are huge."""
    for entry in found.entries:
        if entry.tag in (256, 257, 278, 322, 323) and rng.random() < 0.6:
            letter = {3: "H", 4: "I", 16: "Q"}.get(entry.kind, "I")
            number = pick(rng, NUMBERS)
            content = _put(content, entry.values, f"{found.order}{letter}", number)
    return content


def _other_offsets(content, found, rng):
    """Strips or tiles lie elsewhere, or are of other lengths."""
    for entry in found.entries:
        if entry.tag in (273, 279, 324, 325) and rng.random() < 0.5:
            letter, size = {3: ("H", 2), 16: ("Q", 8)}.get(entry.kind, ("I", 4))
            for index in range(min(entry.count, 8)):
                number = pick(rng, (*NUMBERS, len(content), 8))
                place = entry.values + size * index
                content = _put(content, place, f"{found.order}{letter}", number)
    return content


def _other_directory(content, found, rng):
    """The chain of directories leads elsewhere."""
    word, width = found.word
    first = 8 if found.big else 4
    number = pick(rng, (*NUMBERS, *found.directories))
    if rng.random() < 0.5:
        return _put(content, first, word, number)
    last = max(found.entries, key=lambda entry: entry.place).place + 4 + 2 * width
    return _put(content, last, word, number)


def _header(content, found, rng):
    return flipped(content, rng, 0, 16)


def _entries(content, found, rng):
    first = pick(rng, found.directories)
    return flipped(content, rng, first, first + 400)


def _metadata(content, found, rng):
    """The geographic keys and GDAL's XML have other bytes."""
    entries = [e for e in found.entries if e.tag >= 33550]
    if not entries:
        return content
    entry = pick(rng, entries)
    return flipped(content, rng, entry.values, entry.values + entry.size)


def _shortened(content, found, rng):
    return truncated(content, rng)


def _anything(content, found, rng):
    return damaged(content, rng)


CHANGES = (_other_value, _other_value, _other_value, _other_entry, _other_entry, _absurd_size,
           _other_offsets, _other_directory, _header, _entries, _metadata, _metadata, _shortened,
           _anything)  # fmt: skip
