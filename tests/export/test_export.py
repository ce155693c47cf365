import json
import shutil
import sys

import pytest
import timm
import torch
from safetensors.torch import load_file

from rsmeta.data.statistics import Limits
from rsmeta.errors import ExportError, RunError
from rsmeta.export import export_run
from rsmeta.peft.sites import Site
from rsmeta.recipe import Position
from rsmeta.runs import load_run

MERGEABLE = ["lora", "ssf", "bitfit", "layer_norm", "full", "scratch", "linear_probe"]
OTHERS = ["adapter", "adaptformer", "vpt_shallow", "vpt_deep"]


def expected_logits(run, chips):
    """What rsmeta itself computes, with adapters beside the weights."""
    return load_run(run, precision="float32").logits(chips)


def assert_same(found, expected, tolerance=1e-5):
    assert expected.std() > 0.1  # random logits, which only the right weights give
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["timm", "peft"])
def test_the_readme_of_an_exported_run_computes_its_logits(
    to, finished_run, rsmeta_command, readme_logits, chips, tmp_path
):
    work = tmp_path / "work"
    shutil.copytree(finished_run[0], work, symlinks=True)
    run = work / "runs" / finished_run[1].name
    done = rsmeta_command("export", "runs/latest", "--to", to, cwd=work)
    folder = run / "export" / to
    printed = {(work / line).resolve() for line in done.stdout.splitlines()}
    assert printed == {path for path in folder.rglob("*") if path.is_file()}
    assert {
        folder / name for name in ("README.md", "rsmeta.json", "head/head.safetensors")
    } <= printed
    expected = expected_logits(run, chips(size=96))
    assert_same(readme_logits(folder)(chips(size=96)), expected)
    again = rsmeta_command("export", "runs/latest", "--to", to, cwd=work, check=False)
    assert again.returncode == 1
    assert again.stderr.splitlines() == [
        f"error: 'runs/latest/export/{to}' is not an empty folder; remove it or choose another "
        "by --out"
    ]


def test_an_unknown_format_is_refused(finished_run, rsmeta_command):
    work, _ = finished_run
    done = rsmeta_command("export", "runs/latest", "--to", "tflite", cwd=work, check=False)
    assert done.returncode == 2
    assert "tflite" in done.stderr and "Traceback" not in done.stderr


# --- timm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", MERGEABLE)
def test_timm_loads_a_merged_vit(method, make_run, chips, tmp_path, readme_logits):
    run = make_run({"method": method})
    out = tmp_path / "out"
    files = export_run(run, "timm", out)
    assert [str(path.relative_to(out)) for path in files] == [
        "README.md", "config.json", "head/head.safetensors", "model.safetensors", "rsmeta.json",
    ]  # fmt: skip
    plain = timm.create_model("test_vit", num_classes=0, in_chans=2, img_size=32).eval()
    plain.load_state_dict(load_file(out / "model.safetensors"), strict=True)
    model = load_run(run).classifier
    normalised = (chips(size=32) - model.mean) / model.std
    with torch.no_grad():
        assert_same(plain(normalised), model.features(chips(size=32)))
    assert_same(readme_logits(out)(chips()), expected_logits(run, chips()))


@pytest.mark.parametrize("form", ["timm", "peft"])
def test_the_shift_of_a_learned_class_prior_is_exported(
    form, make_run, chips, tmp_path, readme_logits
):
    pytest.importorskip(form)
    run = make_run({"method": "lora"}, outer={"class_prior": "learned"})
    assert load_run(run).classifier.head.shift.std() > 0.01
    out = tmp_path / "out"
    export_run(run, form, out)
    assert_same(readme_logits(out)(chips()), expected_logits(run, chips()))


@pytest.mark.parametrize("form", ["timm", "peft", "onnx"])
def test_every_format_clips_where_the_run_does(form, make_run, chips, tmp_path, readme_logits):
    pytest.importorskip({"timm": "timm", "peft": "peft", "onnx": "onnxruntime"}[form])
    images = chips(size=32)
    limits = Limits(low=(-15.0, -20.0), high=(-12.0, -14.0))
    run = make_run({"method": "lora"}, limits=limits)
    out = tmp_path / "out"
    export_run(run, form, out)
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(
            out / "model.onnx", providers=["CPUExecutionProvider"]
        )
        found = torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
    else:
        found = readme_logits(out)(images)
    assert_same(found, expected_logits(run, images), 1e-4)
    low, high = (torch.tensor(side)[:, None, None] for side in (limits.low, limits.high))
    clipped = images.clamp(low, high)
    assert not torch.equal(clipped, images)
    assert_same(expected_logits(run, clipped), expected_logits(run, images))


def test_timm_knows_the_run_s_bands_and_classes(make_run, tmp_path):
    export_run(make_run({"method": "lora"}), "timm", tmp_path / "out")
    vit = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    config = vit.pretrained_cfg
    assert tuple(config["input_size"]) == (2, 32, 32)
    assert config["mean"] == [-11, -18] and config["std"] == [4, 6]
    assert config["label_names"] == ["water", "quay, with ships", "forêt"]
    facts = json.loads((tmp_path / "out" / "rsmeta.json").read_text(encoding="utf-8"))
    assert facts["classes"] == config["label_names"]
    assert facts["bands"] == ["VV", "VH"]
    assert facts["statistics"] == {"mean": [-11, -18], "std": [4, 6]}
    assert (facts["image_size"], facts["tile_size"], facts["head_scale"]) == (32, 48, 30)


@pytest.mark.parametrize("method", OTHERS)
def test_a_method_with_layers_of_its_own_is_no_plain_timm_vit(method, make_run, tmp_path):
    with pytest.raises(ExportError, match=rf"'{method}' adds .* use --to onnx$") as caught:
        export_run(make_run({"method": method}), "timm", tmp_path / "new" / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


# --- ONNX -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "precision"),
    [
        ("lora", "bfloat16"),
        ("ssf", "float32"),
        ("adapter", "float32"),
        ("adaptformer", "float32"),
        ("vpt_deep", "float32"),
    ],
)
def test_onnx_runtime_gives_the_same_logits(
    method, precision, make_run, chips, tmp_path, capfd, recwarn
):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = make_run({"method": method}, compute={"precision": precision})
    (path,) = export_run(run, "onnx", tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        images = chips(count, 32)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        assert found.shape == (count, 3)
        assert_same(torch.from_numpy(found), expected_logits(run, images), 1e-4)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == ["water", "quay, with ships", "forêt"]
    assert json.loads(facts["bands"]) == ["VV", "VH"]
    assert (facts["tile_size"], facts["image_size"]) == ("48", "32")
    assert b"stack_trace" not in path.read_bytes()  # nor names of files of this machine


def test_weights_too_large_for_one_onnx_file_go_beside_it(make_run, chips, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr("rsmeta.export.onnx_file._LARGEST", 1000)
    run = make_run({"method": "linear_probe"})
    path, data = export_run(run, "onnx", tmp_path / "out")
    assert data.name == "model.onnx.data" and data.stat().st_size > path.stat().st_size
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": chips(2, 32).numpy()})
    assert_same(torch.from_numpy(found), expected_logits(run, chips(2, 32)), 1e-4)


# --- Hugging Face peft ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "section",
    [
        {"rank": 4},
        {"rank": 3, "positions": ["q"], "gamma": 0.4},
        {"rank": 2, "positions": ["q", "v", "out"], "alpha": 6, "scaling": "rank_stabilized"},
        {"rank": 2, "positions": ["fc1", "fc2", "k"], "blocks": "last:2"},
    ],
    ids=str,
)
def test_peft_loads_the_adapter(section, make_run, chips, tmp_path, readme_logits):
    peft = pytest.importorskip("peft")
    run = make_run({"method": "lora", **section})
    out = tmp_path / "out"
    export_run(run, "peft", out)
    assert_same(readme_logits(out)(chips()), expected_logits(run, chips()))
    vit = timm.create_model(f"local-dir:{out / 'backbone'}", pretrained=True)
    merged = peft.PeftModel.from_pretrained(vit, str(out)).merge_and_unload()
    ours = load_run(run, merged=True).classifier
    normalised = (chips(size=32) - ours.mean) / ours.std
    assert_same(merged(normalised).detach(), ours.features(chips(size=32)).detach())


def test_peft_gets_what_pruning_left(make_run, chips, tmp_path, readme_logits):
    names = [(0, "q"), (0, "v"), (1, "k"), (3, "out"), (5, "q"), (5, "k"), (5, "v"), (5, "fc2")]
    kept = [Site(block, Position(position)) for block, position in names]
    run = make_run({"method": "lora", "rank": 2}, kept=kept)
    out = tmp_path / "out"
    export_run(run, "peft", out)
    config = json.loads((out / "adapter_config.json").read_text())
    expected = {"0.attn.qkv": 4, "1.attn.qkv": 2, "3.attn.proj": 2, "5.attn.qkv": 6, "5.mlp.fc2": 2}
    ranks = {
        name: config["rank_pattern"].get(name, config["r"]) for name in config["target_modules"]
    }
    assert ranks == {f"blocks.{name}": rank for name, rank in expected.items()}
    assert_same(readme_logits(out)(chips()), expected_logits(run, chips()))


def test_peft_adapts_the_vit_that_timm_downloads(
    make_run, chips, tmp_path, readme_logits, tiny_weights, monkeypatch
):
    """Without a backbone of its own: timm loads the same file, for other bands and another size."""
    create, stock = timm.create_model, {"file": str(tiny_weights), "num_classes": 0}

    def from_file(name, pretrained=False, **settings):
        overlay = {"pretrained_cfg_overlay": stock} if pretrained else {}
        return create(name, pretrained=pretrained, **overlay, **settings)

    monkeypatch.setattr(timm, "create_model", from_file)
    monkeypatch.setattr(
        "rsmeta.models.weights._download_timm", lambda name: load_file(tiny_weights)
    )
    backbone = {"name": "timm:test_vit.r160_in1k", "image_size": 32}
    run = make_run({"method": "lora"}, backbone=backbone)
    out = tmp_path / "out"
    export_run(run, "peft", out)
    assert not (out / "backbone").exists()
    assert_same(readme_logits(out)(chips()), expected_logits(run, chips()))


@pytest.mark.parametrize("method", ["ssf", "adapter", "linear_probe"])
def test_only_lora_is_an_adapter_of_peft(method, make_run, tmp_path):
    with pytest.raises(ExportError, match=rf"method '{method}' is no adapter of Hugging Face peft"):
        export_run(make_run({"method": method}), "peft", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_peft_needs_an_update(make_run, tmp_path):
    with pytest.raises(ExportError, match="no LoRA updates left"):
        export_run(make_run({"method": "lora"}, kept=[]), "peft", tmp_path / "out")


# --- folders and packages -------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "package"), [("onnx", "onnxscript"), ("peft", "peft")])
def test_a_missing_package_is_one_line_with_the_extra(to, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError) as caught:
        export_run(tmp_path, to, tmp_path / "out")
    assert str(caught.value) == (f"exporting to {to} needs {package}; pip install 'rsmeta[{to}]'")


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    for out in (tmp_path / "used", tmp_path / "used" / "notes.txt"):
        with pytest.raises(ExportError, match="is not an empty folder"):
            export_run(tmp_path / "run", "timm", out)
    assert (tmp_path / "used" / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_filled_and_stays_after_a_failure(make_run, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ExportError):
        export_run(make_run({"method": "adapter"}), "timm", out)
    assert not list(out.iterdir())
    monkeypatch.chdir(out)
    export_run(make_run({"method": "lora"}), "timm", out.relative_to(out))
    assert (out / "model.safetensors").is_file()


def test_a_missing_run_leaves_nothing(tmp_path):
    run = tmp_path / "nowhere"
    with pytest.raises(RunError, match="does not exist"):
        export_run(run, "timm", run / "export" / "timm")
    assert not run.exists()


def test_a_folder_that_cannot_be_written_is_one_line(make_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be written") as caught:
        export_run(make_run({"method": "lora"}), "timm", tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)
