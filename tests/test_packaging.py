"""pyproject.toml, environment.yml, the Makefile and the README say the same."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", README, flags=re.M))
def test_every_make_command_of_the_readme_exists(target):
    assert re.search(rf"^{target}:", MAKEFILE, flags=re.M)


def test_the_gate_runs_the_readme_s_two_commands_in_order():
    gate = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make (\w+)", gate, flags=re.M) == ["demo", "test"]


def test_the_demo_runs_what_the_readme_says():
    recipe = MAKEFILE.split("\ndemo:")[1].split("\n\n")[0].replace("$(BIN)/", "")
    block = README.split("The demo runs")[1].split("and ends by")[0]
    for command in re.findall(r"^    (rsmeta .*)$", block, flags=re.M):
        assert f"\t{command}\n" in recipe


def test_every_rsmeta_command_of_readme_and_docs_parses():
    from typer.main import get_command

    from rsmeta.cli import app

    known = get_command(app).commands
    pages = README + (ROOT / "docs" / "ray.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    rsmeta (.*?)(?: +#.*)?$", pages, flags=re.M)
    assert len(lines) >= 8
    for line in lines:
        words = re.sub(r'"([^"]*)"', lambda m: m[1].replace(" ", "\0"), line).split()
        name, arguments = words[0], [word.replace("\0", " ") for word in words[1:]]
        known[name].make_context(name, arguments, resilient_parsing=False)


def test_the_recipe_of_the_readme_is_valid():
    from rsmeta.recipe import Recipe

    block = re.search(r"```yaml\n(.*?)```", README, flags=re.S)
    Recipe.model_validate(yaml.safe_load(block[1]))


def test_the_tables_of_readme_and_docs_are_those_of_the_committed_results():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from readme_tables import PAGES, fill
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
    modules = {"yaml": "pyyaml", "PIL": "pillow"}
    for path in (ROOT / "rsmeta").rglob("*.py"):
        for indent, module in re.findall(
            r"^(\s*)(?:from|import) ([A-Za-z_0-9]+)", path.read_text(), flags=re.M
        ):
            if module not in {*sys.stdlib_module_names, "rsmeta"}:
                name = modules.get(module, module).replace("_", "-")
                assert name in always | (sometimes if indent.strip("\n") else set()), path


def test_the_tests_have_all_extras():
    extras = PROJECT["optional-dependencies"]
    for name in ("onnx", "peft", "ray", "search"):
        assert set(extras[name]) <= set(extras["test"])
