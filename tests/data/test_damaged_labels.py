"""Vector files of labels that are damaged, or whose features have no place in the scene."""

import random
from math import inf, nan

import geopandas as gpd
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin

from rsmeta.data.chip_tally import ChipTally
from rsmeta.data.scene_rasters import Grid
from rsmeta.data.vector_labels import read_labels, read_vectors
from rsmeta.errors import DataError

GRID = Grid(CRS.from_epsg(32632), from_origin(500_000, 5_000_000, 10, 10), 100, 100)
INSIDE = shapely.Point(500_100, 4_999_900)


def write(path, geometries, crs="EPSG:32632"):
    frame = gpd.GeoDataFrame({"class": ["a"] * len(geometries)}, geometry=geometries, crs=crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


def labels(path, tally):
    return read_labels(path, None, "class", None, GRID, tally)


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.Point(inf, 1),
        shapely.LineString([(0, 0), (1, nan)]),
        shapely.Polygon([(0, 0), (1, nan), (1, 1)]),
        shapely.Polygon([(0, 0), (1, inf), (1, 1)]),
    ],
)
def test_a_feature_without_a_place_is_left_out_and_counted(tmp_path, geometry):
    tally = ChipTally()
    found = labels(write(tmp_path / "labels.gpkg", [geometry, INSIDE]), tally)
    [kept] = found.geometries
    assert kept.equals(shapely.Point(10, 10))
    assert tally.total_left_out() == "1 × feature with coordinates that are no numbers"


@pytest.mark.parametrize(
    "crs",
    [
        'LOCAL_CS["site",UNIT["metre",1]]',
        'GEOGCS["Moon",DATUM["Moon",SPHEROID["Moon",1737400,0]],PRIMEM["R",0],'
        'UNIT["degree",0.0174532925199433]]',
    ],
    ids=["local", "moon"],
)
def test_labels_of_another_world_are_one_line(tmp_path, crs):
    with pytest.raises(DataError, match="give labels in the CRS of the scene") as caught:
        labels(write(tmp_path / "labels.gpkg", [INSIDE], crs), ChipTally())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["gpkg", "shp", "parquet"])
def test_files_with_any_bytes_changed_are_read_or_one_line(tmp_path, suffix):
    """GDAL, SQLite, Arrow and GEOS each meet other damage, with errors of their own."""
    squares = [shapely.box(i, 0, i + 1, 1) for i in range(15)]
    path = write(tmp_path / f"labels.{suffix}", squares)
    whole, choice, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(choice.choice([3, 10, 50])):
            content[choice.randrange(len(content))] = choice.randrange(256)
        path.write_bytes(content)
        try:
            read_vectors(path, None)
        except DataError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 10
