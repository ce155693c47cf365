"""What all commands have in common, found by walking the commands."""

import json
import logging
import re

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rsmeta.cli import app, main
from rsmeta.cli.completion import complete_recipes, complete_runs
from rsmeta.errors import RecipeError, RunError

COMMANDS = get_command(app).commands
ONLY_JSON = {"schema"}


def options(command):
    return {name for parameter in COMMANDS[command].params for name in parameter.opts}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_an_example_json_quiet_and_verbose(command):
    assert f"rsmeta {command}" in (COMMANDS[command].epilog or "")
    wanted = {"--quiet", "--verbose"} | (set() if command in ONLY_JSON else {"--json"})
    assert wanted <= options(command)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)

    return run


def test_quiet_prints_nothing_but_json(run, tmp_path):
    simulate = "simulate", "--size", 96
    assert "truth:" in run(*simulate, "a.tif").output
    assert run(*simulate, "b.tif", "--quiet").output == ""
    assert run("-q", *simulate, "c.tif").output == ""
    assert (tmp_path / "c.tif").is_file()
    found = json.loads(run(*simulate, "d.tif", "--quiet", "--json").stdout)
    assert found == {"scene": "d.tif", "truth": "d_truth.tif", "polygons": "d_truth.gpkg"}
    assert json.loads(run("schema", "-q").stdout)["title"] == "Recipe"


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "a.tif", "--quiet", "--verbose"),
        ("-q", "simulate", "-v", "a.tif"),
        ("-q", "-v", "simulate", "a.tif"),
    ],
)
def test_quiet_and_verbose_exclude_each_other(run, tmp_path, arguments):
    done = run(*arguments)
    assert done.exit_code == 2
    assert "exclude each other" in " ".join(re.findall(r"[\w-]+", done.stderr))
    assert not (tmp_path / "a.tif").exists()


def failing(error):
    """The main function, with a command that fails."""

    def fail(**_):
        logging.getLogger("rsmeta").warning("a note")
        logging.getLogger("rsmeta.deep").debug("a detail")
        logging.getLogger("timm").info("a library's word")
        try:
            raise KeyError("the cause")
        except KeyError as cause:
            raise error from cause

    return fail


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RunError("no such run"), 1),
        (RecipeError(["one thing", "another"]), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error, status, monkeypatch, capsys):
    monkeypatch.setattr("rsmeta.evaluation.verify_run", lambda run: failing(error)())
    monkeypatch.setattr("sys.argv", ["rsmeta", "verify", "somewhere"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == status
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told == [f"error: {line}" for line in str(error).splitlines()]


def test_success_is_0_and_a_wrong_option_2(run):
    assert run("--version").exit_code == 0
    assert run("verify", "--no-such-option").exit_code == 2
    assert "Exit status" in run("--help").output


@pytest.mark.parametrize(
    ("option", "shown", "hidden"),
    [
        ("--quiet", [], ["a note", "a detail", "a library's word", "Traceback"]),
        ("--json", ["a note"], ["a detail", "a library's word", "Traceback"]),
        ("--verbose", ["a note", "a detail", "timm: a library's word", "'the cause'"], []),
    ],
)
def test_how_much_is_said(option, shown, hidden, monkeypatch, capsys):
    monkeypatch.setattr("rsmeta.evaluation.verify_run", lambda run: failing(RunError("gone"))())
    monkeypatch.setattr("sys.argv", ["rsmeta", "verify", "somewhere", option])
    before = logging.getLogger().level
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == "error: gone"
    assert all(text in said for text in shown)
    assert not any(text in said for text in hidden)
    assert logging.getLogger().level == before


def test_runs_and_recipes_are_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/one", "runs/two", "runs/.draft", "recipes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/one/model.safetensors").touch()
    for name in ("a.yaml", "notes.txt", "recipes/b.yml"):
        (tmp_path / name).touch()
    assert complete_runs("") == ["recipes/", "runs/", "runs/one", "runs/two/"]
    assert complete_runs("runs/o") == ["runs/one"]
    assert complete_recipes("") == ["a.yaml", "recipes/", "runs/"]
    assert complete_recipes("recipes/") == ["recipes/b.yml"]
    assert complete_recipes("./") == ["./a.yaml", "./recipes/", "./runs/"]
    assert complete_runs(f"{tmp_path}/runs/o") == [f"{tmp_path}/runs/one"]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("verify runs/o", "runs/one"),
        ("compare runs/one runs/o", "runs/one"),
        ("inspect scene.tif --run runs/o", "runs/one"),
        ("finetune tin", "tiny.yaml"),
        ("study tin", "tiny.yaml"),
        ("evaluate runs/one --data tin", "tiny.yaml"),
    ],
)
def test_the_shell_completes_runs_and_recipes(words, completed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "model.safetensors").touch()
    (tmp_path / "tiny.yaml").touch()
    asked = {
        "_RSMETA_COMPLETE": "complete_bash",
        "COMP_WORDS": f"rsmeta {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    done = CliRunner().invoke(app, [], env=asked, prog_name="rsmeta")
    assert done.stdout.split() == [completed]
