"""Recipe section: how a pretrained patch embedding comes to read other bands."""

from typing import Literal

from pydantic import Field

from rsmeta.recipe.section import Section

SpectralMode = Literal["auto", "matched", "spectral", "luminance", "random"]


class Spectral(Section):
    """The cross-spectral patch embedding; without effect on the bands of pretraining."""

    mode: SpectralMode = Field(
        default="auto",
        description="Kernels of bands that pretraining did not have. matched: zero; spectral: "
        "between those of the nearest wavelengths, and of a grey image for radar; luminance: of a "
        "grey image; random: drawn by the seed, as large as the pretrained ones; auto: matched "
        "where all bands of pretraining are there, else spectral.",
    )
    mixing: Literal["frozen", "trained"] = Field(
        default="frozen",
        description="trained: how much each band reads of each pretrained kernel is trained.",
    )
    update_rank: int | None = Field(
        default=None,
        ge=1,
        description="Rank of a trained update of each band's kernel, scaled by a modulator of its "
        "own; default: none. A method without modulators keeps these at 1.",
    )

    @property
    def trains(self) -> bool:
        """Whether the patch embedding trains, whatever the method."""
        return self.mixing == "trained" or self.update_rank is not None
