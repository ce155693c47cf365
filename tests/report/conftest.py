import json

import numpy as np
import pytest
from report_tables import class_table, confusion_table, history_table, modulator_table

RECIPE = "name: harbour\nseed: 0\npeft:\n  method: lora\n  rank: 8\n"


@pytest.fixture
def make_run(tmp_path):
    """Writes a run folder; tables may be given, all others are generated."""

    def make(
        names=("2S1", "BMP2", "T72", "ZSU"), *, unseen=(), modulators=None, history=None, at="run"
    ):
        run = tmp_path / at
        run.mkdir(parents=True)
        classes = class_table(names, unseen=unseen)
        modulators = modulator_table() if modulators is None else modulators
        tables = {
            "per_class": classes,
            "confusion": confusion_table(classes),
            "modulators": modulators,
            "history": history_table() if history is None else history,
        }
        for name, table in tables.items():
            table.to_csv(run / f"{name}.csv", index=False, lineterminator="\n")
        means = classes.groupby("group")["accuracy"].mean()
        accuracy = {group: means.get(group, np.nan) for group in ("head", "medium", "tail")}
        accuracy |= {"average": classes["accuracy"].mean(), "overall": 0.871}
        metrics = {
            "accuracy": {k: None if np.isnan(v) else float(v) for k, v in accuracy.items()},
            "groups": {},
            "method": "lora",
            "trainable_parameters": 1_327_176,
            "backbone_parameters": 22_056_576,
        }
        (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        resources = {"seconds": 312.4567, "peak_memory_mb": 1800, "device": "cpu"}
        (run / "resources.json").write_text(json.dumps(resources), encoding="utf-8")
        (run / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        return run

    return make
