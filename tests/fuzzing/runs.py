"""Run folders: files damaged, missing, exchanged or hostile, through all that reads a run."""

import json
import shutil
import struct

import numpy as np

from fuzzing.mutations import damaged, flipped, pick
from fuzzing.recipes import CHANGES, FIXTURES, Recipes

VALUES = (
    *(None, True, -1, 0, 1, 2, 10**6, 2**31, 10**30, 1e308, -1e308, 1e-320, 0.5),
    *(float("nan"), float("inf"), "", "x", "VV", "a\x1b[31m", "\0", "'\"<b>", "../../x", "=1+1"),
    *([], {}, [1], {"a": 1}, [[]], [None], ["a", "a"], ["a", "b", "c"], "9" * 5000),
)  # fmt: skip

CELLS = ("", " ", "nan", "inf", "-inf", "-1", "0", "1e400", "1e18", "9" * 400, "x", "NA", "1,5",
         "=1+1", "\x00", "\x1b[2J", '"', "é", "0.5", "3.7")  # fmt: skip

READ = ("recipe.yaml", "model.safetensors", "metrics.json", "resources.json", "per_class.csv",
        "confusion.csv", "modulators.csv", "history.csv", "predictions.csv", "gamma_history.csv",
        "features.csv", "chips.csv")  # fmt: skip


class Runs:
    """Cases of run folders."""

    def prepare(self, fixtures):
        from rsmeta.finetuning import finetune
        from rsmeta.recipe import Recipe

        Recipes().prepare(fixtures)
        recipe = Recipe.model_validate(
            {
                "name": "run",
                "runs": fixtures / "runs",
                "data": {"source": "folder", "root": fixtures / "chips", "sensor": "sar",
                         "bands": ["VV"]},
                "backbone": {"image_size": 16},
                "peft": {"rank": 2, "blocks": "last:1"},
                "inner": {"epochs": 1, "batch_size": 4},
                "outer": {"every": 2, "batch_size": 2},
                "loggers": [],
            }
        )  # fmt: skip
        folder = finetune(recipe).folder
        shutil.rmtree(folder / "figures")
        # The same bytes wherever and whenever it is made.
        for name in ("recipe.yaml", "predictions.csv", "chips.csv"):
            text = (folder / name).read_text("utf-8")
            (folder / name).write_text(text.replace(str(fixtures), f"${{{FIXTURES}}}"), "utf-8")
        (folder / "resources.json").write_text('{"train_seconds": 1.5, "test_seconds": 0.5}\n')
        folder.rename(fixtures / "run")

    def warm_up(self, fixtures):
        import rsmeta as rs
        from rsmeta.evaluation import verify_run

        self._files = [name for name in READ if (fixtures / "run" / name).is_file()]
        rs.load(fixtures / "run")
        verify_run(fixtures / "run")

    def damage(self, rng, place):
        run = place.inputs / "run"
        shutil.copytree(place.fixtures / "run", run)
        for _ in range(int(rng.integers(1, 3))):
            # A third of the damage goes to what a model is made of.
            name = pick(rng, self._files[:2]) if rng.random() < 0.35 else pick(rng, self._files)
            if rng.random() < 0.05:
                name = f"chips/{pick(rng, sorted(p.name for p in (run / 'chips').iterdir()))}"
            path = run / name
            kind = rng.random()
            if kind < 0.45 and path.is_file() and path.stat().st_size:
                _meaning(path, rng)
            elif kind < 0.75 and path.is_file():
                path.write_bytes(damaged(path.read_bytes(), rng))
            else:
                _exchange(path, run, rng, self._files)
        return run, int(rng.integers(8))

    def use(self, damaged, place):
        run, way = damaged
        return (_load, _load, _verify, _verify, _inspect, _inspect, _compare, _evaluate)[way](
            run, place
        )


# --- uses -----------------------------------------------------------------------------------------


def _load(run, place):
    """As a notebook does, and a tile as prediction does."""
    import rsmeta as rs

    model = rs.load(run)
    tile = np.zeros((2, len(model.bands), model.tile_size, model.tile_size), np.float32)
    model.trained.probabilities(tile)
    repr(model.trained.fingerprint)
    model._repr_html_()
    return "loaded"


def _verify(run, place):
    from rsmeta.evaluation import verify_run

    verify_run(run)
    return "verified"


def _inspect(run, place):
    """As `rsmeta inspect RUN` does, for people and for scripts."""
    import rsmeta as rs
    from rsmeta.cli.inspection_tables import facts_table, modulator_table
    from rsmeta.cli.output import plain_console
    from rsmeta.cli.tables import stored_table
    from rsmeta.inspecting.run import inspect_run

    found = inspect_run(run)
    json.dumps(found.values(), ensure_ascii=False)
    console = plain_console()
    with console.capture():
        console.print(facts_table(found), stored_table(found.files), modulator_table(found))
        console.print(found.band_modulators)
    rs.Run.read(run)._repr_html_()
    return "inspected"


def _compare(run, place):
    from rsmeta.comparison import compare_runs

    json.dumps(compare_runs([place.fixtures / "run", run]).values(), default=str)
    return "compared"


def _evaluate(run, place):
    from rsmeta.evaluation import evaluate_run

    evaluate_run(run).write(place.out)
    return "evaluated"


# --- damage ---------------------------------------------------------------------------------------


def _meaning(path, rng):
    """Another file of the same format."""
    if path.suffix == ".safetensors":
        _other_card(path, rng)
    elif path.suffix == ".yaml":
        text = pick(rng, CHANGES)(path.read_text("utf-8", "replace"), rng)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    elif path.suffix == ".json":
        path.write_text(_other_json(path.read_text("utf-8", "replace"), rng), "utf-8", "replace")
    elif path.suffix == ".csv":
        _other_table(path, rng)
    else:
        # Height, width and the like of a picture.
        path.write_bytes(flipped(path.read_bytes(), rng, 8, 33))


def _other_json(text, rng):
    """JSON with one value or key replaced; the text itself where it is none."""
    try:
        values = json.loads(text)
    except ValueError:
        return text
    places = list(_places(values))
    if not places:
        return json.dumps(pick(rng, VALUES))
    container, key = pick(rng, places)
    kind = rng.random()
    if kind < 0.7:
        container[key] = pick(rng, VALUES)
    elif kind < 0.85:
        del container[key]
    else:
        other, place = pick(rng, places)
        if place in other if isinstance(other, dict) else place < len(other):
            container[key] = other[place]
    try:
        return json.dumps(values)
    except ValueError:  # it holds itself
        return text


def _places(values):
    """Each container with each of its keys."""
    keys = values.keys() if isinstance(values, dict) else range(len(values))
    for key in list(keys) if isinstance(values, dict | list) else ():
        yield values, key
        if isinstance(values[key], dict | list):
            yield from _places(values[key])


def _other_card(path, rng):
    """The header of safetensors is JSON with its length before it; the card is text in it."""
    content = path.read_bytes()
    try:
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        if rng.random() < 0.75:
            header["__metadata__"]["rsmeta"] = _other_json(header["__metadata__"]["rsmeta"], rng)
            text = json.dumps(header)
        else:
            text = _other_json(json.dumps(header), rng)
    except (ValueError, KeyError, TypeError, struct.error):
        text, size = "{}", 0
    encoded = text.encode("utf-8", "replace")
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + size :])


def _other_table(path, rng):
    rows = [line.split(",") for line in path.read_text("utf-8", "replace").splitlines()]
    if not rows:
        return
    kind, row = int(rng.integers(6)), int(rng.integers(len(rows)))
    column = int(rng.integers(max(1, len(rows[row]))))
    if kind <= 2 and column < len(rows[row]):
        rows[row][column] = pick(rng, CELLS)
    elif kind == 3:
        rows = [cells[:column] + cells[column + 1 :] for cells in rows]
    elif kind == 4:
        rows.append(rows[row])
    else:
        del rows[row]
    text = "\n".join(",".join(cells) for cells in rows)
    path.write_text(f"{text}\n", "utf-8", "replace")


def _exchange(path, run, rng, files):
    """The file is gone, empty, a folder, a link, or another file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    other = run / pick(rng, files)
    kind = int(rng.integers(8))
    if kind == 1:
        path.touch()
    elif kind == 2:
        path.mkdir()
    elif kind == 3:
        path.symlink_to(path.name)
    elif kind == 4:
        path.symlink_to(pick(rng, ("/dev/null", "..", "/nowhere", other.name)))
    elif kind >= 5 and other.is_file():
        path.write_bytes(other.read_bytes())
