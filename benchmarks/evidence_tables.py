"""Write the tables of the documentation from the committed results.

python benchmarks/evidence_tables.py
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import both_sets
import country_cost
import pandas as pd

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PAGES = (ROOT / "docs" / "evidence.md", ROOT / "docs" / "ray.md")
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


def _speed() -> dict[tuple[str, str, str], dict[str, float]]:
    """Medians by section, variant and precision."""
    result = json.loads((RESULTS / "training_speed.json").read_text())
    return {
        (section, row["variant"], row["precision"]): row
        for section, rows in result.items()
        if section != "machine"
        for row in rows
    }


def speed_table() -> str:
    """Time and memory of a training step by variant, in both precisions."""
    rows = _speed()
    lines = [
        "| training step | bfloat16 | of the limit | memory | float32 | of the limit | memory |",
        "|---" * 7 + "|",
    ]
    names = {
        "frozen backbone": "limit: frozen backbone, gradient to its first block",
        "rsmeta": "rsmeta, LoRA at six positions",
        "peft": "Hugging Face peft, rank 8 a layer",
        "peft, same rank a position": "Hugging Face peft, rank 8 a position",
    }
    for variant, name in names.items():
        cells = [name]
        for precision in ("bfloat16", "float32"):
            row = rows["training step", variant, precision]
            limit = rows["training step", "frozen backbone", precision]["seconds"]
            cells.append(f"{1000 * row['seconds']:.0f} ms")
            cells.append(f"{limit / row['seconds']:.2f}")
            cells.append(f"{row['megabytes']:.0f} MB")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed_line() -> str:
    """Ratios of the other measurements of speed, as sentences."""
    seconds = {key: row["seconds"] for key, row in _speed().items()}

    def blocks(last: str) -> float:
        key = "trained blocks", f"rsmeta, last {last}", "float32"
        return seconds[key] / seconds["trained blocks", "rsmeta, last 12", "float32"]

    def prediction(variant: str, precision: str) -> float:
        bare = seconds["prediction", "bare backbone", precision]
        return seconds["prediction", variant, precision] / bare

    run = "whole run, by inner step"
    meta = seconds[run, "MetaPEFT", "float32"] / seconds[run, "fixed", "float32"]
    return (
        f"A step that trains the last 6 of 12 blocks takes {blocks('6'):.2f} of the time of one "
        f"that trains all, the last 2 {blocks('2'):.2f}, and {blocks('2, cached features'):.2f} "
        f"with `compute.cache_features`. Prediction by a merged model takes "
        f"{prediction('merged', 'float32'):.2f} (float32) and "
        f"{prediction('merged', 'bfloat16'):.2f} (bfloat16) of the bare backbone's time; not "
        f"merged it would be {prediction('not merged', 'float32'):.2f} and "
        f"{prediction('not merged', 'bfloat16'):.2f}. A whole MetaPEFT run takes {meta:.2f} of the "
        "time of the same number of inner steps with fixed γ."
    )


def band_removal_table() -> str:
    """Accuracy by the number of bands removed, with and without band dropout in training."""
    result = json.loads((RESULTS / "band_removal.json").read_text())
    table = pd.DataFrame(result["average_accuracy"])
    removed = sorted(table["bands_removed"].unique())
    lines = ["| band dropout | " + " | ".join(f"{count} removed" for count in removed) + " |"]
    lines.append("|---" * (len(removed) + 1) + "|")
    for dropout, rows in table.groupby("band_dropout"):
        by_count = rows.set_index("bands_removed")
        cells = [
            f"{100 * row['mean']:.1f} ± {100 * row['standard_error']:.1f}"
            for _, row in by_count.loc[removed].iterrows()
        ]
        lines.append(f"| {dropout:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def geometry_table(name: str) -> str:
    """Cosine distances between classes, means over seeds with standard errors, as markdown."""
    table = pd.read_csv(RESULTS / f"geometry_{name}.csv")
    columns = {
        "nearest_head": "head to nearest",
        "nearest_medium": "medium to nearest",
        "nearest_tail": "tail to nearest",
        "head_head": "head, head",
        "head_tail": "head, tail",
        "tail_tail": "tail, tail",
    }
    lines = ["| features | " + " | ".join(columns.values()) + " | tail accuracy |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for variant, rows in table.groupby("variant", sort=False):
        cells = [_plain(rows[column]) for column in columns]
        lines.append(f"| {variant} | " + " | ".join([*cells, _percent(rows["tail"])]) + " |")
    return "\n".join(lines)


def _plain(values: "pd.Series[float]") -> str:
    if len(values) == 1:
        return f"{values.iloc[0]:.2f}"
    return f"{values.mean():.2f} ± {values.sem():.2f}"


def throughput_line() -> str:
    """Prediction against the bare model, as sentences."""
    result = json.loads((RESULTS / "scene_throughput.json").read_text())
    cell, pixel = (result[f"prediction_at_{name}_resolution"] for name in ("cell", "pixel"))
    return (
        f"A scene of {result['height']:,} × {result['width']:,} pixels and {result['bands']} "
        f"bands, {result['threads']} thread(s), {result['rounds']} round(s): "
        f"{cell['pixels_per_second']:,} pixels/s, {cell['ratio']:.2f} of what the model alone does "
        f"on batches in memory ({cell['ratio_of_processor_time']:.2f} by processor time); with "
        f"maps of pixels {pixel['ratio']:.2f} ({pixel['ratio_of_processor_time']:.2f})."
    )


def terratorch_table() -> str:
    """Time and memory of the same model by rsmeta and by TerraTorch."""
    result = json.loads((RESULTS / "terratorch_inference.json").read_text())
    lines = ["| | time | processor time | memory | wrong pixels |", "|---" * 5 + "|"]
    names = {
        "rsmeta": "rsmeta, cells of 32 px",
        "rsmeta, cells of one pixel": "rsmeta, cells of one pixel",
        "terratorch": f"TerraTorch {result['terratorch_version']}",
    }
    for side, name in names.items():
        row = result[side]
        lines.append(
            f"| {name} | {row['seconds']:.1f} s | {row['processor_seconds']:.1f} s | "
            f"{row['peak_megabytes']:,.0f} MB | {row['wrong_pixels']} |"
        )
    return "\n".join(lines)


def trust_table() -> str:
    """Counts of the checks of trust."""
    parts = json.loads((RESULTS / "trust.json").read_text())["parts"]
    kills, ddp, scenes = (parts[name] for name in ("kills", "ddp", "scenes"))
    lines = ["| check | outcome |", "|---|---|"]
    lines.append(
        f"| processes killed in training and prediction | {kills['survived']} of "
        f"{kills['kill_points']} went on to the very bytes of those left alone |"
    )
    lines.append(
        f"| two processes (DDP) against one | γ and losses differ by {ddp['max_difference']:.1e} "
        f"at most in {ddp['runs'][0]['steps']} steps |"
    )
    outcomes = "; ".join(f"{count} {name}" for name, count in scenes["outcomes"].items())
    lines.append(f"| {scenes['scenes']} real scenes, broken ones among them | {outcomes} |")
    for kind, row in parts["fuzz"]["kinds"].items():
        done = sum(n for name, n in row["outcomes"].items() if name.startswith("success"))
        lines.append(
            f"| damaged or hostile {kind} | {row['cases']:,}: {done:,} succeeded, "
            f"{row['cases'] - done - len(row['findings']):,} refused in one line, "
            f"{len(row['findings'])} otherwise |"
        )
    return "\n".join([*lines, *_suite_lines(parts)])


def _suite_lines(parts: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Those of the long parts, as far as they were run."""
    if (part := parts.get("properties")) is not None:
        yield (
            f"| {part['properties']} properties of recipes, scenes and maps | {part['state']} with "
            f"{part['examples']:,} random examples |"
        )
    if (part := parts.get("lowest")) is not None:
        yield (
            f"| lowest versions of all requirements | {part['tests']['passed']:,} fast tests "
            f"passed, {part['tests'].get('failed', 0)} failed |"
        )
    if (part := parts.get("coverage")) is not None:
        yield (
            f"| `rsmeta/` covered by all tests | {part['percent_of_lines']:.1f} % of the lines, "
            f"{part['percent_of_branches']:.1f} % of the branches |"
        )


def mutation_table() -> str:
    """Mutants killed by folder, one row a sample, and how many there are."""
    result = json.loads((RESULTS / "mutation.json").read_text(encoding="utf-8"))
    folders = list(result["mutants"])
    lines = ["| seed of the sample | " + " | ".join(folders) + " | all |"]
    lines.append("|---" * (len(folders) + 2) + "|")
    for sample in result["samples"]:
        cells = [_killed(sample[name]) for name in [*folders, "all"]]
        lines.append(f"| {sample['seed']} | {' | '.join(cells)} |")
    counts = [f"{count:,}" for count in result["mutants"].values()]
    lines.append(
        f"| mutants there are | {' | '.join(counts)} | {sum(result['mutants'].values()):,} |"
    )
    return "\n".join(lines)


def _killed(row: dict[str, float]) -> str:
    waiting = int(row.get("not checked", 0))
    text = f"{row['share_killed']:.0%} of {row['sampled'] - waiting}"
    return f"{text}, {waiting} not run" if waiting else text


def suggestions_table() -> str:
    """Labels and accuracy by where the labels come from, and the difference over seeds."""
    table = pd.DataFrame(json.loads((RESULTS / "suggest_labels.json").read_text())["rows"])
    lines = [
        "| labels | tiles with a class | of tail classes | tail accuracy | average accuracy |",
        "|---" * 5 + "|",
    ]
    for arm in ("before", "random", "suggested"):
        row = table[table["labels"] == arm].mean(numeric_only=True)
        lines.append(
            f"| {arm} | {row['labelled_tiles']:.1f} | {row['tail_tiles']:.1f} | "
            f"{100 * row['tail_accuracy']:.1f} | {100 * row['mean_accuracy']:.1f} |"
        )
    gains = []
    for measure, name in (("tail_accuracy", "tail"), ("mean_accuracy", "average")):
        by_seed = table.pivot(index="seed", columns="labels", values=measure)
        gain = 100 * (by_seed["suggested"] - by_seed["random"])
        gains.append(f"{name} {gain.mean():+.1f} ± {gain.sem():.1f}")
    lines += ["", f"Suggested less random, in points: {', '.join(gains)} ({len(gain)} seeds)."]
    return "\n".join(lines)


def fill(text: str) -> str:
    """Replace what stands between the markers of a text by what the results say."""
    parts = {
        "sar_cross_spectral": lambda: methods_table("sar_cross_spectral"),
        "mstar_longtail": lambda: methods_table("mstar_longtail"),
        "scene_prediction": scene_line,
        "speed_table": speed_table,
        "speed_line": speed_line,
        "geometry_sar_cross_spectral": lambda: geometry_table("sar_cross_spectral"),
        "band_removal": band_removal_table,
        "country_cost": country_cost.table,
        "scene_throughput": throughput_line,
        "terratorch": terratorch_table,
        "trust": trust_table,
        "mutation": mutation_table,
        "suggestions": suggestions_table,
        "both_sets": both_sets.table,
    }
    for name, make in parts.items():
        pattern = rf"(<!-- results: {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.S)
    pattern = r"(<!-- study: (\w+) -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{study_tables(m[2])}\n{m[3]}", text, flags=re.S)


def study_tables(name: str) -> str:
    """The tables that `rsmeta study` has written, without their heading."""
    path = RESULTS / f"{name}.md"
    if not path.exists():
        return "Not run yet."
    return path.read_text(encoding="utf-8").split("\n", 2)[2].strip()


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
