"""Recipe section: chips in text lists, as ImageNet-LT, Places-LT, iNaturalist-LT and FUSRS use."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsmeta.recipe.chips import ChipFileOptions
from rsmeta.recipe.section import Section


class ClassNames(Section):
    """The file that names the classes which lists give as numbers."""

    file: Path = Field(description="The file.")
    layout: Literal["name", "folder_name", "categories"] = Field(
        default="name",
        description="name: text, one class a line in the order of the labels; folder_name: the "
        "same with the class's folder before the name, as for Places-LT; categories: "
        "categories.json of iNaturalist, where 'id' is the label.",
    )


class Photo(Section):
    """8-bit images of mixed kinds, such as grey JPEGs among coloured ones, made alike by Pillow."""

    mode: Literal["rgb", "grey"] = Field(
        default="rgb", description="What every image is made, three bands or one."
    )
    square: int | None = Field(
        default=None,
        ge=8,
        description="Resize the shorter side to this many pixels and keep the central square, "
        "before data.crop; default: the whole image in its own size.",
    )


class ListData(ChipFileOptions):
    """Chips in text lists with one line a chip: its path, a blank and its label, from 0."""

    source: Literal["list"]
    train: Path = Field(description="List of the training chips.")
    test: Path = Field(description="List of the test chips.")
    root: Path = Field(description="Folder that the paths in the lists are relative to.")
    class_names: ClassNames | None = Field(
        default=None,
        description="Names of the labels; default: those of data.classes, or else the numbers.",
    )
    photo: Photo | None = Field(
        default=None, description="Read photographs; default: rasters as they are."
    )

    @model_validator(mode="after")
    def _named_once(self) -> "ListData":
        if self.class_names is not None and self.classes is not None:
            raise ValueError("classes and class_names both name the labels; leave one out")
        return self

    @model_validator(mode="after")
    def _bands_of_photo(self) -> "ListData":
        bands = len(self.selected_bands)
        if self.photo is not None and bands != (3 if self.photo.mode == "rgb" else 1):
            raise ValueError(
                f"photo.mode {self.photo.mode} does not give the {bands} bands of the sensor; "
                "rgb gives three, grey gives one"
            )
        return self
