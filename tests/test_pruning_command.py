import json
import shutil

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_runs import FEW_CHIPS

from rsmeta.errors import PruningError, RunError
from rsmeta.finetuning import finetune
from rsmeta.peft.sites import Site
from rsmeta.pruning import KeepShare, Threshold, prune_run
from rsmeta.runs import load_run

SHORT = {"epochs": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def pruned_by_command(finished_run, rsmeta_command, tmp_path_factory):
    """A copy of the finished run's folder, the run in it, and what the command said of it."""
    work = tmp_path_factory.mktemp("pruned") / "work"
    shutil.copytree(finished_run[0], work, symlinks=True)
    run = work / "runs" / finished_run[1].name
    done = rsmeta_command("prune", "runs/latest", "--keep", 0.5, cwd=work)
    return work, run, done.stdout


def read(run, name):
    return json.loads((run / name).read_text())


def sites_of(rows):
    return [Site.named(int(row["block"]), row["position"]) for row in rows]


def contributions_of(run):
    rows = pd.read_csv(run / "modulators.csv").to_dict("records")
    return dict(zip(sites_of(rows), [row["contribution"] for row in rows], strict=True))


def test_the_command_writes_a_complete_smaller_run(pruned_by_command):
    work, parent, said = pruned_by_command
    run = (work / "runs" / "latest").resolve()
    assert run.name.startswith("tiny-pruned-") and run.parent == parent.parent
    expected = {path.relative_to(parent) for path in parent.rglob("*") if path.is_file()}
    found = {path.relative_to(run) for path in run.rglob("*") if path.is_file()}
    assert {str(path) for path in found - expected} == {"pruning.json"}
    # Pruning does not train, so that there is nothing to tell loggers.
    assert all(path.name.startswith("events.out") for path in expected - found)
    for name in ("recipe.yaml", "history.csv"):
        assert (run / name).read_bytes() == (parent / name).read_bytes()
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (run, parent)]
    assert sizes[0] < 0.7 * sizes[1]
    page = (run / "report.html").read_text()
    assert ">contribution<" in page
    assert page.count("<td>lora</td>") == 24 + 1  # the sites, and the method of the provenance
    assert str(run) in said
    assert not list((work / "runs").glob(".*"))


def test_the_files_agree(pruned_by_command):
    work, parent, said = pruned_by_command
    run = (work / "runs" / "latest").resolve()
    facts, before, after = (
        read(run, "pruning.json"),
        contributions_of(parent),
        contributions_of(run),
    )
    assert facts["parent"] == parent.name
    assert facts["criterion"] == {"keep": 0.5}
    assert facts["sites"] == {"before": 48, "after": 24}
    assert facts["accuracy"]["before"] == read(parent, "metrics.json")["accuracy"]
    assert facts["accuracy"]["after"] == read(run, "metrics.json")["accuracy"]
    for key, folder in (("before", parent), ("after", run)):
        counted = read(folder, "metrics.json")["trainable_parameters"]
        assert facts["trainable_parameters"][key] == counted
        assert f"{counted:,}" in said
    dropped = dict(
        zip(sites_of(facts["dropped"]), [d["contribution"] for d in facts["dropped"]], strict=True)
    )
    assert dropped == pytest.approx({s: v for s, v in before.items() if s not in after})
    assert max(dropped.values()) < min(after.values())
    assert after == pytest.approx({site: before[site] for site in after})  # those of the parent
    for line in ("head", "medium", "tail", "average", "sites", "trainable parameters"):
        assert line in said


def test_the_pruned_run_predicts_what_the_parent_predicts_without_the_dropped_sites(
    pruned_by_command,
):
    work, parent, _ = pruned_by_command
    pruned, whole = load_run(work / "runs" / "latest"), load_run(parent)
    kept = pruned.classifier.modulators.sites
    assert pruned.card.sites == kept == tuple(contributions_of(work / "runs" / "latest"))
    images = torch.randn(4, 2, 64, 64, generator=torch.Generator().manual_seed(0)) * 5 - 15
    before = whole.logits(images)
    whole.classifier.modulators.keep_only(kept)
    assert (pruned.logits(images) - whole.logits(images)).abs().max() < 1e-4
    assert (pruned.logits(images) - before).abs().max() > 1e-3
    assert pruned.probabilities(images.numpy()).shape == (4, 11)
    merged = load_run(work / "runs" / "latest", merged=True)
    assert (pruned.logits(images) - merged.logits(images)).abs().max() < 1e-4


@pytest.mark.slow
def test_scenes_can_be_classified_by_a_pruned_run(pruned_by_command, rsmeta_command):
    work, _, _ = pruned_by_command
    rsmeta_command("simulate", "--size", 256, "scene.tif", cwd=work)
    done = rsmeta_command("predict", "scene.tif", "--stride", 64, cwd=work)
    assert "classes:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --keep SHARE or --threshold VALUE"),
        (["--keep", "0.5", "--threshold", "0.1"], "either --keep SHARE or --threshold VALUE"),
        (["--keep", "1.5"], "share of sites to keep 1.5: allowed: above 0"),
        (["--threshold", "1e9"], "threshold 1e+09 keeps no site"),
    ],
)
def test_a_wrong_criterion_is_one_line_and_leaves_nothing(
    pruned_by_command, rsmeta_command, arguments, message
):
    work, parent, _ = pruned_by_command
    before = sorted((work / "runs").iterdir())
    done = rsmeta_command("prune", parent, *arguments, cwd=work, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert sorted((work / "runs").iterdir()) == before


# --- from Python ----------------------------------------------------------------------------------


def silence(run, sites):
    """Give LoRA sites of a stored run an update of zero, by their number in a layer of a block."""
    path = run / "model.safetensors"
    with safe_open(path, framework="pt") as stored:
        card = json.loads(stored.metadata()["rsmeta"])
    del card["tensors_sha256"]  # models of earlier versions have none
    state = load_file(path)
    for (block, layer), number in sites.items():
        state[f"backbone.blocks.{block}.{layer}.up"][number] = 0
    save_file(state, path, metadata={"rsmeta": json.dumps(card)})


def test_a_site_without_an_update_is_the_one_that_goes(finished_run, without_report, tmp_path):
    run = shutil.copytree(finished_run[1], tmp_path / "runs" / "run")
    silence(run, {(3, "attn.qkv"): 2, (6, "mlp.fc2"): 0})  # v of one block, fc2 of another
    by_threshold = prune_run(run, Threshold(1e-12))
    gone = [Site.named(3, "v"), Site.named(6, "fc2")]
    facts = read(by_threshold.folder, "pruning.json")
    assert facts["criterion"] == {"threshold": 1e-12}
    assert sites_of(facts["dropped"]) == gone
    assert [entry["contribution"] for entry in facts["dropped"]] == [0, 0]
    # What has no effect can go without one.
    assert by_threshold.after.metrics.summary() == by_threshold.before.metrics.summary()
    by_share = prune_run(run, KeepShare(46 / 48))
    assert sites_of(read(by_share.folder, "pruning.json")["dropped"]) == gone
    model = [(p.folder / "model.safetensors").read_bytes() for p in (by_threshold, by_share)]
    assert model[0] == model[1]


def test_a_pruned_run_can_be_pruned_again(finished_run, without_report, tmp_path):
    run = shutil.copytree(finished_run[1], tmp_path / "runs" / "run")
    once = prune_run(run, KeepShare(0.25))
    twice = prune_run(once.folder, KeepShare(0.01))
    assert read(twice.folder, "pruning.json")["parent"] == once.folder.name
    assert len(load_run(twice.folder).card.sites) == 1
    unpruned = prune_run(once.folder, KeepShare(1.0))
    facts = read(unpruned.folder, "pruning.json")
    assert facts["sites"] == {"before": 12, "after": 12} and facts["dropped"] == []
    stored = [(p.folder / "model.safetensors").read_bytes() for p in (once, unpruned)]
    assert stored[0] == stored[1]


@pytest.mark.parametrize(
    ("method", "modulators", "precision", "blocks"),
    [("adapter", "learned", "bfloat16", "last:2"), ("adaptformer", "fixed", "float32", "all")],
)
def test_bottlenecks_are_pruned_too(tiny_recipe, method, modulators, precision, blocks):
    peft = {"method": method, "modulators": modulators, "rank": 2, "blocks": blocks}
    compute = {"precision": precision, "cache_features": precision == "bfloat16"}
    recipe = tiny_recipe(data=FEW_CHIPS, peft=peft, inner=SHORT, compute=compute)
    parent = finetune(recipe).folder
    pruned = prune_run(parent, KeepShare(0.5))
    before, kept = contributions_of(parent), load_run(pruned.folder).card.sites
    assert pruned.before.contributions == pytest.approx(before)
    assert len(kept) == len(before) / 2
    assert min(before[s] for s in kept) > max(before[s] for s in before if s not in kept)


@pytest.mark.parametrize("method", ["linear_probe", "bitfit"])
def test_a_method_without_modulators_is_refused(tiny_recipe, without_report, method):
    parent = finetune(tiny_recipe(peft={"method": method}, inner=SHORT)).folder
    with pytest.raises(PruningError, match=f"method '{method}' has no sites") as caught:
        prune_run(parent, KeepShare(0.5))
    assert "\n" not in str(caught.value)


def test_a_run_without_history_or_with_other_classes_is_refused(finished_run, tmp_path):
    run = shutil.copytree(finished_run[1], tmp_path / "runs" / "run")
    (run / "history.csv").rename(run / "elsewhere.csv")
    with pytest.raises(RunError, match=r"lacks history.csv"):
        prune_run(run, KeepShare(0.5))
    (run / "elsewhere.csv").rename(run / "history.csv")
    path = run / "model.safetensors"
    with safe_open(path, framework="pt") as stored:
        card = json.loads(stored.metadata()["rsmeta"])
    card["classes"][0] = "deep water"
    save_file(load_file(path), path, metadata={"rsmeta": json.dumps(card)})
    with pytest.raises(RunError, match="now have other classes"):
        prune_run(run, KeepShare(0.5))
    with pytest.raises(RunError, match="does not exist"):
        prune_run(tmp_path / "nowhere", KeepShare(0.5))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
