"""Write the README's tables from the committed results: python benchmarks/readme_tables.py."""

import json
import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
_COLUMNS = ["head", "medium", "tail", "average"]


def methods_table(name: str) -> str:
    """Accuracy by method, mean and standard error over seeds, as markdown."""
    table = pd.read_csv(RESULTS / f"methods_{name}.csv")
    lines = ["| method | " + " | ".join(_COLUMNS) + " | trainable | training |"]
    lines.append("|---" * (len(_COLUMNS) + 3) + "|")
    for method, rows in table.groupby("method", sort=False):
        cells = [_percent(rows[column]) for column in _COLUMNS]
        parameters = f"{rows['trainable_parameters'].iloc[0]:,}"
        seconds = f"{rows['training_seconds'].median():.0f} s"
        lines.append(f"| {method} | " + " | ".join([*cells, parameters, seconds]) + " |")
    return "\n".join(lines)


def _percent(values: "pd.Series[float]") -> str:
    if len(values) == 1:
        return f"{100 * values.iloc[0]:.1f}"
    return f"{100 * values.mean():.1f} ± {100 * values.sem():.1f}"


def scene_line() -> str:
    """What the scene benchmark measured, as one sentence."""
    result = json.loads((RESULTS / "scene_prediction.json").read_text())
    return (
        f"A simulated SAR scene of {result['size']} × {result['size']} pixels with the demo's "
        f"run: {result['agreement_overall']:.1%} of the labelled pixels right "
        f"({result['agreement_mean_over_classes']:.1%} on average over classes), "
        f"{result['peak_megabytes_over_loaded_model']} MB over the loaded model, "
        f"{result['tiles_per_second']:.0f} tiles/s on 2 cores."
    )


def fill(text: str) -> str:
    """Replace what stands between the markers of a text by what the results say."""
    parts = {
        "sar_cross_spectral": lambda: methods_table("sar_cross_spectral"),
        "mstar_longtail": lambda: methods_table("mstar_longtail"),
        "scene_prediction": scene_line,
    }
    for name, make in parts.items():
        pattern = rf"(<!-- results: {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.S)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8")), encoding="utf-8")
