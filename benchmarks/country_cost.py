"""What it takes to classify a country, from measured rates and a GPU's rate that is given.

python benchmarks/country_cost.py --gpu-tiles-per-second 3000
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
GPU_RATES = (1_000, 3_000, 10_000)
_HOUR = 3600


@dataclass(frozen=True)
class Country:
    """What is to be classified; nothing here was measured.

    Attributes:
        scenes: Number of scenes.
        side: Rows and columns of each, in pixels.
        bands: Bands that the model reads.
        tile: Side of a tile, and step between tiles, in pixels.
        gigabytes: Size of those bands of a scene.
    """

    scenes: int = 10_000
    side: int = 10_980
    bands: int = 10
    tile: int = 70
    gigabytes: float = 0.6

    @property
    def tiles(self) -> int:
        return self.scenes * (-(-self.side // self.tile)) ** 2


@dataclass(frozen=True)
class Rates:
    """Measured by `benchmarks/scene_throughput.py`.

    Attributes:
        reading: Processor seconds a pixel and band, from the file to the tiles.
        writing: Processor seconds a pixel, from probabilities to all default products.
        forward: Processor seconds a tile of the model on the CPU.
        bytes_written: Of the products, a pixel.
    """

    reading: float
    writing: float
    forward: float
    bytes_written: float

    @classmethod
    def measured(cls, resolution: str) -> "Rates":
        """Read the results; the resolution is `cell` or `pixel`."""
        result = json.loads((RESULTS / "scene_throughput.json").read_text())
        pixels = result["height"] * result["width"]
        prediction = result[f"prediction_at_{resolution}_resolution"]
        return cls(
            reading=result["processor_seconds_of_reading"] / pixels / result["bands"],
            writing=prediction["processor_seconds_of_writing"] / pixels,
            forward=result["bare_model"]["processor_seconds"] / result["tiles"],
            bytes_written=prediction["bytes_of_products"] / pixels,
        )


@dataclass(frozen=True)
class Cost:
    """What a country takes.

    Attributes:
        gpu_hours: Forward passes on GPUs.
        cpu_hours: The same on processor cores instead.
        reading_hours: Reading and cutting tiles, in hours of a core.
        writing_hours: Blending and writing, in hours of a core.
        terabytes_read: Data that come over the network, once.
        terabytes_written: Products.
    """

    gpu_hours: float
    cpu_hours: float
    reading_hours: float
    writing_hours: float
    terabytes_read: float
    terabytes_written: float

    @property
    def cores_per_gpu(self) -> float:
        """Cores that keep a GPU busy."""
        return (self.reading_hours + self.writing_hours) / self.gpu_hours


def cost(country: Country, rates: Rates, gpu_tiles_per_second: float) -> Cost:
    """Add up reads, forward passes and writes."""
    pixels = country.scenes * country.side**2
    return Cost(
        gpu_hours=country.tiles / gpu_tiles_per_second / _HOUR,
        cpu_hours=country.tiles * rates.forward / _HOUR,
        reading_hours=pixels * country.bands * rates.reading / _HOUR,
        writing_hours=pixels * rates.writing / _HOUR,
        terabytes_read=country.scenes * country.gigabytes / 1e3,
        terabytes_written=pixels * rates.bytes_written / 1e12,
    )


def table(gpu_rates: tuple[float, ...] = GPU_RATES) -> str:
    """Cost of the default country by rate of the GPU, as markdown."""
    country = Country()
    cell, pixel = Rates.measured("cell"), Rates.measured("pixel")
    base = cost(country, cell, 1.0)
    fine = cost(country, pixel, 1.0)
    lines = [
        f"{country.tiles / 1e6:,.0f} million tiles of {country.tile} px in {country.scenes:,} "
        f"scenes of {country.side:,} × {country.side:,} px and {country.bands} bands:",
        "",
        "| work | hours of one core | data |",
        "|---|---|---|",
        f"| reading | {base.reading_hours:,.0f} | {base.terabytes_read:,.1f} TB in |",
        f"| writing maps of cells | {base.writing_hours:,.0f} | "
        f"{base.terabytes_written:,.2f} TB out |",
        f"| writing maps of pixels | {fine.writing_hours:,.0f} | "
        f"{fine.terabytes_written:,.2f} TB out |",
        f"| forward passes without a GPU | {base.cpu_hours:,.0f} | |",
        "",
        "| tiles/s of a GPU | GPU-hours | scenes a GPU-hour | cores a GPU, cells | pixels |",
        "|---|---|---|---|---|",
    ]
    for rate in gpu_rates:
        here, there = cost(country, cell, rate), cost(country, pixel, rate)
        lines.append(
            f"| {rate:,.0f} | {here.gpu_hours:,.0f} | {country.scenes / here.gpu_hours:,.0f} | "
            f"{here.cores_per_gpu:.1f} | {there.cores_per_gpu:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu-tiles-per-second", type=float, nargs="+", default=GPU_RATES)
    print(table(tuple(parser.parse_args().gpu_tiles_per_second)))


if __name__ == "__main__":
    main()
