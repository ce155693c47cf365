"""pyproject.toml, environment.yml, the Makefile and the README say the same."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from rsmeta.cli import app

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text()


def test_conda_users_get_the_same_python_and_the_same_package():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python{PROJECT['requires-python']}" in dependencies
    assert {"pip": ["-e ."]} in dependencies
    assert "conda env create -f environment.yml" in README


def test_the_readme_names_the_python_that_is_required():
    required = PROJECT["requires-python"].removeprefix(">=")
    assert f"Python {required} or newer" in README
    assert f"Python {required} or newer" in MAKEFILE


@pytest.mark.parametrize(
    "target",
    sorted(
        {
            *re.findall(r"^    make (\w+)", README, flags=re.M),
            *(t for page in PAGES for t in re.findall(r"`make (\w+)", page.read_text("utf-8"))),
        }
    ),
)
def test_every_make_command_shown_exists(target):
    assert re.search(rf"^{target}:", MAKEFILE, flags=re.M)


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_there_is_with_the_python_that_is_required(path):
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    steps = [step for job in jobs for step in job["steps"]]
    runs = [step["run"] for step in steps if "run" in step]
    for target in re.findall(r"make (\w+)", "\n".join(runs)):
        assert re.search(rf"^{target}:", MAKEFILE, flags=re.M)
    assert all((ROOT / run).is_file() for run in runs if run.startswith(".ci"))
    versions = {step["with"]["python-version"] for step in steps if "with" in step}
    assert versions == {PROJECT["requires-python"].removeprefix(">=")}


def test_lowest_versions_audit_and_sbom_are_part_of_the_workflows():
    texts = "\n".join(path.read_text() for path in WORKFLOWS)
    assert all(f"run: {what}" in texts for what in ("make lowest", "make audit", "make sbom"))


def test_the_gate_runs_the_readme_s_two_commands_in_order():
    gate = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make (\w+)", gate, flags=re.M) == ["demo", "test"]


def test_the_demo_runs_what_the_readme_says():
    recipe = MAKEFILE.split("\ndemo:")[1].split("\n\n")[0].replace("$(BIN)/", "")
    block = README.split("The demo runs")[1].split("and ends by")[0]
    for command in re.findall(r"^    (rsmeta .*)$", block, flags=re.M):
        assert f"\t{command}\n" in recipe


def commands_shown(text):
    """Words after `rsmeta` of every command, on a line of its own or in a sentence."""
    lines = re.findall(r"^\s*(?:\$ )?rsmeta (.+)$", text, flags=re.M)
    inline = re.findall(r"`rsmeta ([^`]+)`", text.replace("\n", " "))
    return [shlex.split(line, comments=True) for line in [*lines, *inline]]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_rsmeta_command_of_a_page_parses(page):
    known = get_command(app).commands
    commands = commands_shown(page.read_text(encoding="utf-8"))
    assert len(commands) >= (8 if page.name == "README.md" else 0)
    for name, *arguments in commands:
        assert name in known
        if arguments:  # else a sentence about the command
            known[name].make_context(name, arguments, resilient_parsing=False)


def test_the_tables_of_the_pages_are_those_of_the_committed_results():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from evidence_tables import PAGES, fill
    finally:
        sys.path.pop(0)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert fill(text) == text
        marks = re.findall(r"<!-- (?:results|study): ", text)
        assert len(marks) == text.count("<!-- end -->") >= 3


def declared(entries):
    return {re.split(r"[<>=\[;]", entry)[0].lower().replace("_", "-") for entry in entries}


def test_everything_imported_is_declared():
    """A fresh machine has the declared packages alone; those of extras are imported when used."""
    extras = PROJECT["optional-dependencies"]
    always = declared(PROJECT["dependencies"]) | {"pydantic-core"}
    sometimes = declared(extras["onnx"] + extras["peft"] + extras["ray"] + extras["search"])
    modules = {"yaml": "pyyaml", "PIL": "pillow", "sklearn": "scikit-learn"}
    for path in (ROOT / "rsmeta").rglob("*.py"):
        for indent, module in re.findall(
            r"^(\s*)(?:from|import) ([A-Za-z_0-9]+)", path.read_text(), flags=re.M
        ):
            if module not in {*sys.stdlib_module_names, "rsmeta"}:
                name = modules.get(module, module).replace("_", "-")
                assert name in always | (sometimes if indent.strip("\n") else set()), path


def test_the_tests_have_all_extras():
    extras = PROJECT["optional-dependencies"]
    for name in ("docs", "onnx", "peft", "ray", "search"):
        assert set(extras[name]) <= set(extras["test"])
