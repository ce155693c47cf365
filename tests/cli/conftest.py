import pytest
from typer.testing import CliRunner

from rsmeta.cli import app


@pytest.fixture
def rsmeta(tmp_path, monkeypatch):
    """Calls a command in an empty folder; an error is raised as `main` would see it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)

    return call
