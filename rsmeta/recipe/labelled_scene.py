"""Recipe section: chips cut from scenes at the labels of vector files."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsmeta.recipe.chips import Classes, SensorChips
from rsmeta.recipe.section import Section


class LabelledScene(Section):
    """A scene and the vectors that label it."""

    raster: Path | dict[str, Path] = Field(
        description="One raster with all bands, or a raster for each band by the band's name; "
        "rasters of different resolution are read on the grid of the finest.",
    )
    labels: Path = Field(description="GeoPackage, GeoJSON, shapefile or GeoParquet, in any CRS.")
    layer: str | None = Field(
        default=None, description="Layer of the labels; needed where the file has several."
    )
    class_column: str | None = Field(
        default=None, description="Column of these labels; default: data.class_column."
    )
    split: Literal["blocks", "train"] = Field(
        default="blocks",
        description="blocks: chips go to training or test by their block. train: none is tested "
        "with, and those in blocks of test chips are dropped: for labels that were chosen, such "
        "as those of rsmeta suggest, on which accuracy would not be that of the ground.",
    )


class Background(Section):
    """A class of its own for chips that touch no label."""

    name: str = Field(default="background", description="Name of the class.")
    count: int = Field(ge=1, description="Chips to draw over all scenes, at most.")


class LabelledSceneData(SensorChips):
    """Chips cut from scenes at labelled points, lines and polygons, split by spatial blocks."""

    source: Literal["labelled_scene"]
    scenes: list[LabelledScene] = Field(min_length=1, description="The scenes.")
    class_column: str = Field(description="Column of the labels that holds the class.")
    classes: Classes = Field(
        default=None,
        min_length=1,
        description="Class names in order; features of other classes are left out. Default: all.",
    )
    chip: int | None = Field(default=None, ge=2, description="Side of a chip in pixels.")
    chip_metres: float | None = Field(
        default=None, gt=0, description="Side of a chip in metres, in the place of chip."
    )
    minimum_cover: float = Field(
        default=0.5, gt=0, le=1, description="Share of a chip that its polygon covers, at least."
    )
    overlap: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of its side that a chip has in common with the next of its feature.",
    )
    most_chips: int | None = Field(
        default=None, ge=1, description="Chips of one feature at most; default: all that fit."
    )
    maximum_nodata: float = Field(
        default=0.1, ge=0, lt=1, description="Share of a chip without data, at most."
    )
    background: Background | None = Field(
        default=None, description="A class for unlabelled ground; default: none."
    )
    block_metres: float = Field(
        gt=0,
        description="Side of the square blocks that go to training or test as a whole; choose it "
        "larger than the distance over which the ground stays alike.",
    )
    test_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the chips of each class to test with."
    )

    @model_validator(mode="after")
    def _one_chip_size(self) -> "LabelledSceneData":
        if (self.chip is None) == (self.chip_metres is None):
            raise ValueError(
                "give the side of a chip either in pixels (chip: 64) or in metres "
                "(chip_metres: 640)"
            )
        return self

    @model_validator(mode="after")
    def _bands_have_files(self) -> "LabelledSceneData":
        names = [band.name for band in self.selected_bands]
        for scene in self.scenes:
            files = scene.raster
            if isinstance(files, dict) and (missing := [n for n in names if n not in files]):
                raise ValueError(
                    f"scenes: raster has no file for {', '.join(missing)}; add it, or name the "
                    "bands that there are in data.bands"
                )
        return self
