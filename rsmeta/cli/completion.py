"""What the shell completes: run folders and recipes."""

from pathlib import Path

_MODEL = "model.safetensors"


def complete_runs(incomplete: str) -> list[str]:
    """Run folders, those in `runs` where nothing else is typed, and folders on the way to one."""
    found = _folders(incomplete)
    if not incomplete:
        found += _folders("runs/")
    return [f"{folder}" if (folder / _MODEL).is_file() else f"{folder}/" for folder in found]


def complete_recipes(incomplete: str) -> list[str]:
    """YAML files, and folders on the way to one."""
    files = [str(path) for path in _matching(incomplete) if path.suffix in (".yaml", ".yml")]
    return files + [f"{folder}/" for folder in _folders(incomplete)]


def _folders(incomplete: str) -> list[Path]:
    return [path for path in _matching(incomplete) if path.is_dir()]


def _matching(incomplete: str) -> list[Path]:
    """Entries whose path starts as typed, hidden ones left out."""
    typed = Path(incomplete)
    folder, start = (typed, "") if incomplete.endswith("/") else (typed.parent, typed.name)
    if not folder.is_dir():
        return []
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return [folder / name for name in names if name.startswith(start)]
