"""What the shell completes: run folders and recipes."""

from pathlib import Path

_MODEL = "model.safetensors"


def complete_runs(incomplete: str) -> list[str]:
    """Run folders, those in `runs` where nothing else is typed, and folders on the way to one."""
    found = _folders(incomplete)
    if not incomplete:
        found += _folders("runs/")
    return [path if Path(path, _MODEL).is_file() else f"{path}/" for path in found]


def complete_recipes(incomplete: str) -> list[str]:
    """YAML files, and folders on the way to one."""
    files = [path for path in _matching(incomplete) if path.endswith((".yaml", ".yml"))]
    return files + [f"{folder}/" for folder in _folders(incomplete)]


def _folders(incomplete: str) -> list[str]:
    return [path for path in _matching(incomplete) if Path(path).is_dir()]


def _matching(incomplete: str) -> list[str]:
    """Entries whose path starts as typed, hidden ones left out."""
    before, slash, start = incomplete.rpartition("/")
    folder = Path(before + slash)
    if not folder.is_dir():
        return []
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return [f"{before}{slash}{name}" for name in names if name.startswith(start)]
