"""Recipes: YAML with other bytes, lines, keys and values, through reading and validation."""

import json
import re
from pathlib import Path

import numpy as np
from scene_files import write_raster

from fuzzing.mutations import damaged, pick

ROOT = Path(__file__).parents[2]

FIXTURES = "RSMETA_FUZZ_FIXTURES"
"""Variable of the environment that holds the folder of the fixtures, whose texts are then the same
wherever it lies."""

# Touches each section.
RICH = """\
name: rich
seed: 3
runs: ${RSMETA_FUZZ_FIXTURES}/runs
data:
  source: folder
  root: ${RSMETA_FUZZ_FIXTURES}/chips
  sensor: sar
  bands: [VV]
  crop: 16
  classes: [a, b]
  clip: percentiles
  on_error: stop
augmentation: {geometry: flips, radiometry: sar, speckle_looks: 5, crop_scale: [0.6, 1.0]}
long_tail: {by: counts, head_above: 5, tail_below: 2}
backbone: {name: embedded, image_size: 16, spectral: {mode: matched}}
peft:
  method: lora
  positions: [q, v, fc1]
  blocks: last:2
  rank: 2
  alpha: 4.0
  modulators: learned
  sharing: none
  pruning: {every: 1, keep: 0.5}
head: {scale: 20, initialisation: random}
inner:
  epochs: 3
  batch_size: 4
  learning_rate: 0.01
  optimiser: {name: sgd, momentum: 0.9}
  loss: {name: logit_adjusted, tau: 1.0}
  sampling: effective_number
  sampling_beta: 0.9
outer: {engine: first_order, every: 1, fraction: 0.5, batch_size: 2, clip: 1.0}
compute: {accelerator: cpu, precision: float32}
loggers: []
"""

PLAIN = """\
name: plain
data: {source: folder, root: "${RSMETA_FUZZ_FIXTURES}/chips", sensor: sar, bands: [VV]}
backbone: {image_size: 16}
peft: {method: linear_probe}
"""

VALUES = (
    *(".nan", ".inf", "-.inf", "1e309", "1e-320", "-1", "0", "1", "2", "3.5", "-0.0", "1_04"),
    *("99999999999999999999999", "0x7fffffffffffffff", "9" * 5000, "0b1", "0o17", "1:30:00"),
    *("true", "null", "~", "''", "' '"),
    *('"\\0"', '"\\ud800"', '"\\x1b[31m"', '"a\\nb"', '"\\u2028"'),
    *("[]", "{}", "[1, [2, [3]]]", "{a: 1}", "{1: 2}", "{null: 1}", "{[1]: 2}", "[[]]", "{? : }"),
    *("2020-13-45", "2020-01-01", "2020-01-01T99:00:00Z", "!!binary aGVsbG8=", "!!set {a, b}"),
    *("!!python/name:os.system", "!!omap [a: 1]", "!!int x", "!!float y", "!!timestamp z"),
    *("../../../etc/passwd", "/dev/zero", "/", "''", "'=cmd|x!A1'", "'a/../../b'", "'<script>'"),
    *("${HOME}", "${NOPE_NOPE}", "${NOPE:-5}", "${A:-${B}}", "$", "'${'", "*undefined", "&a b"),
    *("embedded", "timm:vit_tiny_patch16_224", "torchgeo:ViTSmall16_Weights.SENTINEL1_GRD_MAE"),
    *("folder", "table", "simulator", "combined", "packed", "lora", "adapter", "vpt_deep", "sar"),
    *("last:99999999999999999999", "last:1", "all", "100000", "2147483648", "4096", "65536"),
    "x" * 100_000,
)  # fmt: skip

BOMBS = (
    "bomb: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"b{n}: &b{n} [{', '.join([f'*b{n - 1}' if n else '*a'] * 8)}]\n" for n in range(12)
    ),
    "loop: &loop [*loop]\n",
    "loop: &loop {inner: *loop}\n",
    "<<: &m {<<: *m}\n",
    "deep: " + "[" * 5000 + "]" * 5000 + "\n",
    "deep: " + "{a: " * 400 + "1" + "}" * 400 + "\n",
    "".join(" " * n + f"k{n}:\n" for n in range(300)),
    "call: !!python/object/apply:os.system ['true']\n",
    "call: !!python/object/new:subprocess.Popen [['true']]\n",
    "--- a\n--- b\n", "%YAML 9.9\n---\n", "? [a, b]\n: c\n", "name: again\n", "data: again\n",
)  # fmt: skip


class Recipes:
    """Cases of recipes."""

    def prepare(self, fixtures):
        rng = np.random.default_rng(0)
        for split, count in (("train", 6), ("test", 2)):
            for name, mean in (("a", -8), ("b", -14)):
                folder = fixtures / "chips" / split / name
                folder.mkdir(parents=True)
                for index in range(count):
                    chip = rng.normal(mean, 3, size=(1, 16, 16)).astype(np.float32)
                    write_raster(folder / f"{index}.tif", chip, names=["VV"])
        bases = [(RICH, "recipe"), (PLAIN, "recipe")]
        for file in sorted((ROOT / "recipes").rglob("*.yaml")):
            kind = "study" if file.parent.name == "studies" else "recipe"
            bases.append((file.read_text("utf-8"), kind))
        (fixtures / "bases.json").write_text(json.dumps(bases), "utf-8")

    def warm_up(self, fixtures):
        from rsmeta.recipe import Recipe
        from rsmeta.study.config import Study
        from rsmeta.validation import validate_recipe

        self._models = {"recipe": Recipe, "study": Study}
        self._validate = validate_recipe
        self._bases = json.loads((fixtures / "bases.json").read_text("utf-8"))
        self._chips = fixtures / "chips"

    def damage(self, rng, place):
        # Half of the cases are of the two that can be validated to the end.
        rich = rng.random() < 0.5
        text, model = self._bases[int(rng.integers(2 if rich else len(self._bases)))]
        for _ in range(int(rng.integers(1, 3))):
            text = pick(rng, CHANGES)(text, rng)
        content = text.encode("utf-8", "surrogatepass")
        kind = rng.random()
        if kind < 0.1:
            content = damaged(content, rng)
        elif kind < 0.12:
            content = text.encode(pick(rng, ("utf-16", "utf-8-sig", "cp037")), "replace")
        file = place.inputs / "recipe.yaml"
        file.write_bytes(content)
        overrides = [_override(rng) for _ in range(int(rng.random() < 0.1))]
        return file, model, overrides, rng.random() < 0.5

    def use(self, damaged, place):
        from rsmeta.recipe_reading import read_recipe

        file, model, overrides, deep = damaged
        recipe = read_recipe(self._models[model], file, overrides)
        if model == "study":
            return "read"
        _require_same_again(recipe, place.out)
        if not deep or getattr(recipe.data, "root", None) != self._chips:
            return "read"
        self._validate(recipe)
        return "validated"


def _require_same_again(recipe, folder):
    """What a run folder stores is read as what was trained by."""
    from rsmeta.errors import RsmetaError
    from rsmeta.recipe_reading import read_recipe
    from rsmeta.runs import write_recipe

    write_recipe(folder, recipe)
    try:
        again = read_recipe(type(recipe), folder / "recipe.yaml")
    except RsmetaError as error:
        raise AssertionError(f"a good recipe cannot be read again: {error}") from error
    assert _plain(again.model_dump()) == _plain(recipe.model_dump())


def _plain(value):
    """Plain values with absolute paths."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value.absolute()) if isinstance(value, Path) else value


def _override(rng):
    keys = ("inner.epochs", "peft.method", "peft.rank", "data", "data.root", "a.b.c", "", ".")
    return f"{pick(rng, keys)}{pick(rng, ('=', '=', '=', ''))}{pick(rng, VALUES)}"


# --- changes to the text --------------------------------------------------------------------------

PUNCTUATION = tuple(":,[]{}&*!|>%@`'\"#?-\t\n \r\0\x1b\ufeff\ud800")


def _other_value(text, rng):
    found = list(re.finditer(r"(?<=: )[^{}\[\],\n]+", text))
    if not found:
        return text
    match = pick(rng, found)
    return text[: match.start()] + pick(rng, VALUES) + text[match.end() :]


def _other_token(text, rng):
    found = list(re.finditer(r"[\w.]+", text))
    if not found:
        return text
    one, other = pick(rng, found), pick(rng, found)
    return text[: one.start()] + other[0] + text[one.end() :]


def _other_key(text, rng):
    found = list(re.finditer(r"\b\w+(?=:)", text))
    if not found:
        return text
    match, other = pick(rng, found), pick(rng, found)
    new = pick(rng, (other[0], f"{match[0]}x", match[0][:-1], '"\\x1b[2J"', '"a\\nb"', "1", "null"))
    return text[: match.start()] + new + text[match.end() :]


def _lines(text, rng):
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    one, other = (int(place) for place in rng.integers(len(lines), size=2))
    kind = int(rng.integers(5))
    if kind == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 1:
        lines.insert(other, lines[one])
    elif kind == 2:
        del lines[one]
    elif kind == 3:
        lines[one] = pick(rng, ("  ", "\t", " ", "- ", "? ", "# ", "&a ", "!!str ")) + lines[one]
    else:
        lines[one] = lines[one].lstrip()
    return "".join(lines)


def _bomb(text, rng):
    bomb = pick(rng, BOMBS)
    return bomb + text if rng.random() < 0.5 else f"{text}{bomb}"


def _punctuation(text, rng):
    if not text:
        return text
    place = int(rng.integers(len(text)))
    return text[:place] + pick(rng, PUNCTUATION) + text[place + 1 :]


CHANGES = (*(_other_value,) * 12, *(_other_token,) * 4, *(_other_key,) * 3, *(_lines,) * 4, _bomb,
           _punctuation)  # fmt: skip
