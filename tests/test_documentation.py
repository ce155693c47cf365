"""The site builds strictly and offline; its references say what the code says."""

import re
import sys
from html.parser import HTMLParser
from typing import Literal

import pytest
import yaml
from documentation import DOCS, ROOT, code_blocks
from pydantic import Field
from typer.main import get_command

from rsmeta import errors
from rsmeta.bands import SENSORS
from rsmeta.cli import app
from rsmeta.recipe import Recipe, Section

ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.RsmetaError)
]


@pytest.fixture(scope="module")
def hooks():
    """What makes the pages, importable as mkdocs makes it."""
    sys.path.insert(0, str(DOCS / "hooks"))
    yield
    sys.path.remove(str(DOCS / "hooks"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


class Loaded(HTMLParser):
    """Addresses of all that a page makes a browser load."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        names = ["src", "srcset", "data", "poster", *(["href"] if tag in ("link", "use") else [])]
        if tag != "link" or values.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.addresses += [values[name] for name in names if values.get(name)]


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 13
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        assert not [a for a in parser.addresses if re.match(r"(https?:)?//", a)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_python_page_has_signatures_and_docstrings(site):
    page = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for name in ("finetune", "Recipe", "Prediction", "modulators", "RsmetaError"):
        assert re.search(rf'id="rsmeta\.[\w.]*\b{name}"', page)
    assert "Train and test a recipe" in page


def test_every_page_is_in_the_navigation():
    # What strict building does not say: pages that mkdocs leaves out by mkdocs.yml.
    listed = (ROOT / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert str(page.relative_to(DOCS)) in listed


# --- references -----------------------------------------------------------------------------------


def test_every_key_of_recipes_and_studies_is_explained(hooks):
    from recipe_reference import recipe_page

    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", recipe_page(), flags=re.M)
    assert len(rows) > 150
    assert [name for name, values, _, meaning in rows if not values or not meaning] == []


def test_a_new_key_appears_with_type_default_range_and_description(hooks):
    from recipe_reference import _sections

    class Cloud(Section):
        """Where clouds are cut out."""

        kind: Literal["mask"] = "mask"
        cover: float = Field(default=0.25, ge=0, lt=1, description="Most of a chip | a share.")
        names: list[str] = Field(min_length=1, description="Of *masks*.")

    class Cloudy(Recipe):
        """A recipe with clouds."""

        clouds: Cloud | None = None

    page = "\n".join(_sections(Cloudy))
    assert "| `clouds` | [`mask`](#cloud) | not set | Where clouds are cut out. |" in page
    assert "## `clouds`, `kind: mask` { #cloud }" in page
    assert "| `cover` | number, ≥ 0, < 1 | `0.25` | Most of a chip \\| a share. |" in page
    assert "| `names` | list of: text, 1 or more | required | Of \\*masks\\*. |" in page


def test_links_within_the_recipe_reference_have_targets(hooks):
    from recipe_reference import recipe_page

    page = recipe_page()
    targets = re.findall(r"\{ #(\w+) \}", page)
    assert len(targets) == len(set(targets))
    assert set(re.findall(r"\(#(\w+)\)", page)) <= set(targets)


def test_every_command_is_there_with_options_and_example(hooks):
    from command_reference import commands_page

    page = commands_page()
    for name, command in get_command(app).commands.items():
        part = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert command.help in part
        assert re.search(rf"```sh\nrsmeta {name} ?", part)
        for option in command.params:
            if option.param_type_name == "option":
                assert re.search(rf"[` ]{option.opts[0]}\b", part)
            assert option.help.split(";")[0].replace("*", "\\*") in part


def test_every_band_of_every_sensor_is_there(hooks):
    from sensor_reference import sensors_page

    page = sensors_page()
    for name, sensor in SENSORS.items():
        part = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert [row.partition("`")[0] for row in re.findall(r"^\| `(.*)", part, flags=re.M)] == [
            band.name for band in sensor.bands
        ]
    assert "| `B8A` | 864.7 | 21 |  | reflectance |" in page
    assert "| `VH` | VH | 5.405 | dB |" in page


@pytest.mark.parametrize("page", ["data.md", "loggers.md"])
def test_sections_of_recipes_on_a_page_are_valid(page):
    blocks = [block for block in code_blocks(page) if block.language == "yaml"]
    assert blocks
    for block in blocks:
        values = yaml.safe_load(block.text)
        data = {"source": "folder", "root": "chips", "sensor": "rgb"}
        given = values.get("data", {})
        values["data"] = given if "source" in given else data | given
        Recipe.model_validate({"name": "shown"} | values)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_class_names_its_entry(kind, site):
    file, _, anchor = kind.documentation().partition("#")
    assert re.search(rf"^## {kind.__name__}$", (ROOT / file).read_text(), flags=re.M)
    page = (site / "troubleshooting" / "index.html").read_text(encoding="utf-8")
    assert f'<h2 id="{anchor}">' in page


@pytest.mark.parametrize("reader", ["person", "script"])
def test_a_person_is_told_where_to_read_on(reader, monkeypatch, capsys):
    from rsmeta import cli

    monkeypatch.setattr(sys, "argv", ["rsmeta", "evaluate", "run", "--scene", "s.tif"])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: reader == "person")
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: --scene and --truth go together")
    place = ["help:  docs/troubleshooting.md#runerror"]
    assert lines[1:] == (place if reader == "person" else [])


def test_messages_quoted_in_the_troubleshooting_page_are_in_the_code():
    """By their longest stretch of fixed words; the dots stand for values."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rsmeta").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # strings that go on in the next line
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| (`.*?`) \|", page, flags=re.M)
    assert len(quoted) > 30
    for message in re.findall(r"`(.*?)`", " ".join(quoted)):
        fixed = max(re.split(r"\s*'?…'?:?\s*", message), key=len)
        assert fixed in code, message
