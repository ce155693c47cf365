"""Which names of rasters are passed on to GDAL."""

import numpy as np
import pytest
from scene_files import write_raster

from rsmeta.errors import DataError, SceneError
from rsmeta.raster_names import check_name, name_for_gdal
from rsmeta.rasters import open_raster, read_masked

REFUSED = (
    "ftp://host/a.tif",
    "gopher://host/a.tif",
    "zip+ftp://host/a.zip!b.tif",
    "vrt://a.tif?bands=1",
    "GTIFF_RAW:/etc/passwd",
    "MEM:::DATAPOINTER=1,PIXELS=1,LINES=1",
    "PG:dbname=secret",
    "WMS:https://host/",
    "DERIVED_SUBDATASET:AMPLITUDE:a.tif",
    "/vsistdin/",
    "/vsistdin?buffer_limit=-1",
    "/vsisubfile/0_10,/etc/passwd",
    "/vsicrypt/key=x,file=a.tif",
    "/vsizip//vsistdin/",
    "/vsizip//vsicurl/ftp://host/a.zip/b.tif",
    "/vsicurl/file:///etc/passwd",
    "/vsicurl?url=file%3A%2F%2F%2Fetc%2Fpasswd",
    'NETCDF:"/vsicurl/ftp://host/a.nc":b',
)
OPENED = (
    "https://host/a.tif?redirect=ftp://other",
    "s3://bucket/a.tif",
    "gs://bucket/a.tif",
    "az://container/a.tif",
    "file:///data/a.tif",
    "zip+https://host/a.zip!b.tif",
    "/vsicurl/https://host/a.tif",
    "/vsicurl_streaming/http://host/a.tif",
    "/vsizip//vsicurl/https://host/a.zip/b.tif",
    "/vsizip/{/data/a.zip}/b.tif",
    "/vsis3/bucket/a.tif",
    "/vsimem/a.tif",
    'NETCDF:"a.nc":b',
    "HDF5:a.h5://group/b",
    "SENTINEL2_L2A:MTD.xml:10m:EPSG_32631",
    "GTIFF_DIR:2:a.tif",
)


@pytest.mark.parametrize("name", REFUSED)
def test_other_names_are_refused_with_what_is_allowed(name):
    with pytest.raises(SceneError, match="allowed") as caught:
        check_name(name)
    assert name in str(caught.value)
    with pytest.raises(DataError), open_raster(name, DataError):
        pass


@pytest.mark.parametrize("name", OPENED)
def test_names_of_known_kinds_are_passed_on_as_they_are(name):
    assert name_for_gdal(name) == name


@pytest.mark.parametrize("name", ["--config", "-of", "<VRTDataset/>", "gone.tif", "a\0.tif"])
def test_what_is_no_file_is_not_given_to_gdal(name):
    with pytest.raises(SceneError, match="does not exist"):
        name_for_gdal(name)


def test_a_very_long_name_does_not_exist():
    with pytest.raises(SceneError, match="does not exist"):
        name_for_gdal("x" * 5000)


def test_a_file_that_is_there_goes_before_another_meaning_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_raster("GTIFF_RAW:0.tif", np.ones((1, 2, 3), np.float32))
    with open_raster("GTIFF_RAW:0.tif") as dataset:
        assert dataset.shape == (2, 3)
    write_raster("plain.tif", np.ones((1, 4, 5), np.float32))
    with open_raster(f"file://{tmp_path}/plain.tif") as dataset:
        assert dataset.shape == (4, 5)


# --- VRTs -----------------------------------------------------------------------------------------

CODE = """<VRTDataset rasterXSize="3" rasterYSize="2">
  <VRTRasterBand dataType="Float32" band="1" subClass="VRTDerivedRasterBand">
    <PixelFunctionType>make</PixelFunctionType>
    <PixelFunctionLanguage>Python</PixelFunctionLanguage>
    <PixelFunctionCode><![CDATA[
def make(inputs, out, *rest, **more):
    open({made!r}, "w").close()
    out[:] = 1
]]></PixelFunctionCode>
  </VRTRasterBand>
</VRTDataset>
"""

SUM = """<VRTDataset rasterXSize="3" rasterYSize="2">
  <VRTRasterBand dataType="Float32" band="1" subClass="VRTDerivedRasterBand">
    <PixelFunctionType>sum</PixelFunctionType>
    <SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>
    <SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>
  </VRTRasterBand>
</VRTDataset>
"""


def test_python_code_in_a_vrt_is_never_run(tmp_path, monkeypatch):
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
    made = tmp_path / "made"
    (tmp_path / "code.vrt").write_text(CODE.format(made=str(made)))
    with (
        pytest.raises(SceneError, match="Python code, which is never run"),
        open_raster(tmp_path / "code.vrt") as dataset,
    ):
        dataset.read()
    # A VRT made of it is found to be one by GDAL alone.
    outer = CODE[: CODE.index("subClass")] + (
        '><SimpleSource><SourceFilename relativeToVRT="1">code.vrt</SourceFilename>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "outer.vrt").write_text(outer)
    with pytest.raises(SceneError), open_raster(tmp_path / "outer.vrt") as dataset:
        dataset.read()
    assert not made.exists()


def test_other_vrts_are_read(tmp_path):
    write_raster(tmp_path / "a.tif", np.full((1, 2, 3), 2, np.float32))
    (tmp_path / "sum.vrt").write_text(SUM)
    with open_raster(tmp_path / "sum.vrt") as dataset:
        assert (read_masked(dataset)[0] == 4).all()
    # Mosaics name their files by absolute paths anywhere.
    (tmp_path / "other").mkdir()
    absolute = SUM.replace('relativeToVRT="1">', f'relativeToVRT="0">{tmp_path}/')
    (tmp_path / "other" / "sum.vrt").write_text(absolute)
    with open_raster(tmp_path / "other" / "sum.vrt") as dataset:
        assert (read_masked(dataset)[0] == 4).all()


@pytest.mark.parametrize("source", ["/vsistdin/", "GTIFF_RAW:a.tif", "ftp://host/a.tif"])
def test_a_vrt_is_not_made_of_what_is_not_opened(tmp_path, source):
    (tmp_path / "a.vrt").write_text(SUM.replace(">a.tif<", f">{source}<"))
    with pytest.raises(SceneError, match="allowed"), open_raster(tmp_path / "a.vrt"):
        pass


def test_a_damaged_vrt_is_one_line(tmp_path):
    (tmp_path / "a.vrt").write_text(SUM[:200])
    with pytest.raises(SceneError, match="damaged VRT") as caught, open_raster(tmp_path / "a.vrt"):
        pass
    assert "\n" not in str(caught.value)
