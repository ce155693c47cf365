"""Pruning of a finished run: the sites that contribute least are taken out of the model."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsmeta.data.inspection import load_inspected
from rsmeta.drafts import final_path, new_run
from rsmeta.errors import PruningError, RunError
from rsmeta.gamma_history import GAMMA_HISTORY
from rsmeta.models.pruned import keep_sites
from rsmeta.peft.pruning import Criterion, KeepShare, Threshold, sites_to_keep
from rsmeta.report.run_report import write_report
from rsmeta.run_results import Evaluation, evaluate, write_run
from rsmeta.runs import HISTORY, load_run, require_files, write_inspection, write_json

__all__ = ["Criterion", "KeepShare", "PrunedRun", "Threshold", "prune_run"]


@dataclass(frozen=True)
class PrunedRun:
    """A pruned run that has been written.

    Attributes:
        folder: The new run folder.
        before: What was found about the model as it was.
        after: What was found about the pruned model.
    """

    folder: Path
    before: Evaluation
    after: Evaluation


def prune_run(run: Path, criterion: Criterion) -> PrunedRun:
    """Write a smaller model than a run's, with its results, as a new run beside it.

    The contributions of the sites are measured on class-balanced training chips; the test chips
    serve to compare the model before and after.

    Args:
        run: Run folder.
        criterion: Which sites to keep.

    Raises:
        PruningError: The run's method has no modulators, or the criterion keeps no site.
        DataError: Chips are missing or unreadable.
        RunError: The run is incomplete, its data have changed, or the new run cannot be written.
    """
    parent = run.resolve()
    model = load_run(run)
    recipe, statistics = model.recipe, model.card.statistics
    if model.classifier.modulators is None:
        raise PruningError(
            f"run '{run}': method '{recipe.peft.method}' has no sites that could be pruned; "
            "choose a run of lora, adapter or adaptformer"
        )
    require_files(run, HISTORY)
    inspected = load_inspected(recipe)
    data = inspected.data
    if data.classes != model.classes:
        raise RunError(f"run '{run}': its data now have other classes; restore them to prune it")
    with new_run(parent.parent, f"{recipe.name}-pruned") as draft:
        before = evaluate(recipe, data, statistics, model.classifier)
        kept = sites_to_keep(before.contributions, criterion)
        smaller = keep_sites(recipe, data.bands, statistics, model.classifier, kept)
        after = evaluate(recipe, data, statistics, smaller.classifier)
        for name in (HISTORY, GAMMA_HISTORY):
            if (run / name).is_file():  # runs of older versions have no history of gammas
                shutil.copyfile(run / name, draft / name)
        write_json(draft / "pruning.json", _facts(parent.name, criterion, before, after))
        write_inspection(draft, inspected)
        write_run(draft, recipe, data, statistics, smaller, after, {})
        write_report(draft)
    return PrunedRun(final_path(draft), before, after)


def _facts(
    parent: str, criterion: Criterion, before: Evaluation, after: Evaluation
) -> dict[str, Any]:
    """What `pruning.json` holds."""
    wanted = (
        {"keep": criterion.share}
        if isinstance(criterion, KeepShare)
        else {"threshold": criterion.smallest}
    )
    return {
        "parent": parent,
        "criterion": wanted,
        "sites": {"before": len(before.contributions), "after": len(after.contributions)},
        "trainable_parameters": {
            "before": before.trained_parameters,
            "after": after.trained_parameters,
        },
        "accuracy": {"before": before.metrics.summary(), "after": after.metrics.summary()},
        "dropped": [
            {"block": site.block, "position": str(site.position), "contribution": value}
            for site, value in before.contributions.items()
            if site not in after.contributions
        ],
    }
