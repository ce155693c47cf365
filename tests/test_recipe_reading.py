import pytest

from rsmeta.errors import RecipeError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import expand, override, read_recipe, validate

LEAST = "name: x\ndata: {source: simulator}\n"


@pytest.fixture
def read(tmp_path):
    def read(text, *overrides):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return read_recipe(Recipe, path, overrides)

    return read


@pytest.fixture
def problems(read):
    """The lines of the error that a recipe and overrides give."""

    def problems(text, *overrides):
        with pytest.raises(RecipeError) as caught:
            read(text, *overrides)
        lines = caught.value.problems
        assert all("\n" not in line for line in lines)
        assert str(caught.value) == "\n".join(lines)
        return lines

    return problems


# --- one line for every mistake ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "start", "parts"),
    [
        ("nam: y", "nam: unknown key", ["did you mean 'name'?", "seed"]),
        ("xyzzy: y", "xyzzy: unknown key", ["allowed", "seed"]),
        ("seed: -1", "seed: -1: ", ["greater than or equal to 0"]),
        ("seed: 2147483648", "seed: 2147483648: ", ["less than"]),
        ("inner: {epochs: many}", "inner.epochs: 'many': ", ["integer"]),
        ("inner: {learning_rate: 0}", "inner.learning_rate: 0: ", ["greater than 0"]),
        ("inner: {optimiser: {momentum: 1}}", "inner.optimiser.momentum: 1: ", ["less than 1"]),
        (
            "inner: {optimiser: {name: adamw, beta2: 0.8}}",
            "inner.optimiser: ",
            ["beta2 0.8", "beta1 0.9", "larger than the square of beta1, 0.81"],
        ),
        (
            "outer: {class_prior_learning_rate: 0.1}",
            "outer: ",
            ["no effect", "class_prior learned"],
        ),
        ("outer: {class_prior_tolerance: 0.1}", "outer: ", ["no effect", "class_prior fitted"]),
        ("outer: {most_per_class: 4, held_out: false}", "outer: ", ["no effect", "held_out"]),
        ("outer: {class_prior: fitted, held_out: false}", "outer: ", ["fitted", "held out"]),
        ("outer: {restart: true}", "outer: ", ["no effect", "final_epochs"]),
        ("outer: {class_prior: learnt}", "outer.class_prior: 'learnt': ", ["'learned'"]),
        (
            "outer: {class_prior: learned}\npeft: {method: bitfit}",
            "recipe: outer.class_prior learned: ",
            ["peft.modulators"],
        ),
        ("inner: {epoch: 3}", "inner.epoch: unknown key", ["did you mean 'epochs'?"]),
        ("outer: {resample: batch}", "outer.resample: 'batch': ", ["'epoch'", "'never'"]),
        ("outer: {fraction: 1}", "outer.fraction: 1: ", ["less than 1"]),
        ("outer: {balanced: maybe}", "outer.balanced: 'maybe': ", ["boolean"]),
        ("augmentation: {geometry: d5}", "augmentation.geometry: 'd5': ", ["'flips'", "'d4'"]),
        ("compute: {precision: float16}", "compute.precision: 'float16': ", ["'bfloat16'"]),
        ("backbone: {image_size: 0}", "backbone.image_size: 0: ", ["greater than 0"]),
        ("peft: {method: lora, rnk: 4}", "peft.rnk: unknown key", ["mean 'rank'?", "alpha"]),
        ("peft: {method: lora, rank: 0}", "peft.rank: 0: ", ["greater than or equal to 1"]),
        ("peft: {method: lora, gamma: 0}", "peft.gamma: 0: ", ["greater than 0"]),
        ("peft: {method: lora, positions: []}", "peft.positions: []: ", ["at least 1"]),
        ("peft: {method: lora, positions: [q, z]}", "peft.positions.1: 'z': ", ["'fc1'"]),
        ("peft: {method: lora, positions: [q, q]}", "peft.positions: ['q', 'q']: ", ["twice"]),
        ("peft: {method: lora, blocks: last:0}", "peft.blocks: 'last:0': ", ["all, last:N"]),
        ("peft: {method: linear_probe, rank: 4}", "peft.rank: unknown key", ["allowed: method"]),
        ("peft: {method: lorra}", "peft.method: ", ["'lorra'", "lora", "linear_probe"]),
        ("peft: 3", "peft: 3: ", ["dictionary"]),
        ("inner: {loss: {name: logit_adjusted, taw: 1}}", "inner.loss.taw: ", ["mean 'tau'?"]),
        ("inner: {loss: {name: logit_adjusted, tau: -1}}", "inner.loss.tau: -1: ", ["equal to 0"]),
        ("inner: {loss: {name: focall}}", "inner.loss.name: ", ["'focal'", "cross_entropy"]),
        ("long_tail: {head_above: 5, tail_below: 10}", "long_tail: ", ["5", "10", "smaller"]),
    ],
)
def test_a_mistake_is_one_line_with_key_value_and_what_is_allowed(problems, section, start, parts):
    [line] = problems(LEAST + section)
    assert line.startswith(start)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("data", "start", "parts"),
    [
        ("{source: table, sensor: rgb}", "data.file: is missing", []),
        ("{source: folder, sensor: rgb}", "data.root: is missing", []),
        ("{source: simulator, crop: 97}", "data.crop: 97: ", ["96"]),
        ("{source: simulator, sensor: lidar}", "data.sensor: 'lidar': ", ["'sar'", "'optical'"]),
        ("{source: simulator, imbalence: 5}", "data.imbalence: ", ["did you mean 'imbalance'?"]),
        ("{source: table, fil: a, file: a, sensor: rgb}", "data.fil: ", ["did you mean 'file'?"]),
        ("{source: tables}", "data.source: ", ["'tables'", "table", "folder", "simulator"]),
        ("{sensor: sar}", "data.source: is missing", []),
        ("[1, 2]", "data: [1, 2]: ", ["dictionary"]),
    ],
)
def test_mistakes_inside_the_data_section(problems, data, start, parts):
    [line] = problems(f"name: x\ndata: {data}\n")
    assert line.startswith(start)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ("{source: folder, root: ., sensor: sentinal1}", ["'sentinal1'", "'sentinel1'?"]),
        ("{source: table, file: a.csv, sensor: rgb, bands: [R, X]}", ["'X'", "R, G, B"]),
    ],
)
def test_unknown_sensors_and_bands_are_told_without_the_tag_of_the_section(problems, data, parts):
    [line] = problems(f"name: x\ndata: {data}\n")
    assert all(part in line for part in parts), line
    assert line.partition(": ")[0] in ("data", "data.sensor", "data.bands")


@pytest.mark.parametrize("blocks", ["3.5", "{a: 1}", "[a]"])
def test_blocks_of_a_wrong_type_are_one_line_without_type_names_in_the_key(problems, blocks):
    [line] = problems(LEAST + f"peft: {{method: lora, blocks: {blocks}}}")
    assert line.partition(": ")[0] in ("peft.blocks", "peft.blocks.0")


def test_several_mistakes_are_several_lines_in_one_error(problems):
    lines = problems("data: {source: simulator, crop: 1}\nseed: x\npeft: {method: lora, rnk: 1}")
    assert sorted(line.partition(":")[0] for line in lines) == [
        "data.crop",
        "name",
        "peft.rnk",
        "seed",
    ]


def test_a_section_that_says_no_variant_is_the_default_one(read):
    recipe = read(LEAST + "peft: {rank: 4}\ninner: {loss: {tau: 2}}")
    assert (recipe.peft.method, recipe.peft.rank) == ("lora", 4)
    assert (recipe.inner.loss.name, recipe.inner.loss.tau) == ("logit_adjusted", 2)


def test_numbers_in_scientific_notation_without_a_point_are_numbers(read):
    assert read(LEAST + "inner: {learning_rate: 1e-3}").inner.learning_rate == 1e-3


# --- files ------------------------------------------------------------------------------------


def test_a_missing_file_is_one_line_with_its_path(tmp_path):
    path = tmp_path / "nowhere.yaml"
    with pytest.raises(RecipeError) as caught:
        read_recipe(Recipe, path)
    assert caught.value.problems == [f"recipe '{path}' does not exist"]


def test_a_folder_is_not_a_recipe(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(Recipe, tmp_path)


def test_bytes_that_are_no_text_are_one_line(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(RecipeError, match="cannot be read") as caught:
        read_recipe(Recipe, path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["name: [1", "a: b: c", "\tname: x", "name: \x07", "a: *b"])
def test_what_is_not_yaml_is_one_line_with_the_place(problems, text):
    [line] = problems(text)
    assert "is not valid YAML: " in line


def test_a_date_that_does_not_exist_is_one_line(problems):
    [line] = problems("name: 2024-13-45\ndata: {source: simulator}")
    assert "2024-13-45" in line or "valid YAML" in line


@pytest.mark.parametrize("text", ["", "- name", "name", "3", "# nothing"])
def test_what_is_not_a_mapping_is_told(problems, text):
    [line] = problems(text)
    assert "must be a mapping of keys to values" in line


def test_yaml_cannot_make_python_objects(problems, tmp_path):
    target = tmp_path / "made"
    [line] = problems(f"name: !!python/object/apply:os.mkdir ['{target}']")
    assert "is not valid YAML" in line
    assert not target.exists()


# --- environment variables --------------------------------------------------------------------


def test_a_variable_stands_for_its_value(read, monkeypatch):
    monkeypatch.setenv("RSMETA_TEST", "here")
    recipe = read(LEAST + "runs: ${RSMETA_TEST}/a/${RSMETA_TEST}")
    assert recipe.runs.as_posix() == "here/a/here"


@pytest.mark.parametrize(
    ("text", "value"), [("${NOT_SET:-a b}", "a b"), ("${NOT_SET:-}", ""), ("$NOT_SET", "$NOT_SET")]
)
def test_an_unset_variable_takes_its_default(monkeypatch, text, value):
    monkeypatch.delenv("NOT_SET", raising=False)
    assert expand(text) == value


def test_a_set_variable_wins_over_its_default(monkeypatch):
    monkeypatch.setenv("RSMETA_TEST", "set")
    assert expand({"a": ["${RSMETA_TEST:-default}", 3, None]}) == {"a": ["set", 3, None]}


def test_an_unset_variable_without_default_is_an_error_with_its_name(problems, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    [line] = problems(LEAST + "runs: ${NOT_SET}/runs")
    assert "'NOT_SET'" in line
    assert "${NOT_SET:-default}" in line


def test_a_variable_does_not_stand_in_another(monkeypatch):
    monkeypatch.setenv("RSMETA_TEST", "${NOT_SET}")
    with pytest.raises(RecipeError, match="cannot stand in one another"):
        expand("${RSMETA_TEST}")


# --- overrides --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed=7", lambda recipe: recipe.seed == 7),
        ("outer.balanced=false", lambda recipe: recipe.outer.balanced is False),
        ("inner.learning_rate=1e-4", lambda recipe: recipe.inner.learning_rate == 1e-4),
        ("peft.positions=[q, v]", lambda recipe: recipe.peft.positions == ["q", "v"]),
        ("peft.blocks=[0, 2]", lambda recipe: recipe.peft.blocks == [0, 2]),
        ("peft.alpha=null", lambda recipe: recipe.peft.alpha is None),
        ("runs=a=b", lambda recipe: recipe.runs.as_posix() == "a=b"),
        (
            "long_tail={head_above: 9, tail_below: 3}",
            lambda recipe: recipe.long_tail.tail_below == 3,
        ),
        (" seed =7", lambda recipe: recipe.seed == 7),
    ],
)
def test_an_override_is_a_yaml_value(read, text, value):
    assert value(read(LEAST + "peft: {method: lora, alpha: 3}", text))


def test_an_override_makes_the_sections_it_needs(read):
    assert read(LEAST, "inner.loss.name=cross_entropy").inner.loss.name == "cross_entropy"
    assert read(LEAST, "outer.every=9").outer.every == 9
    assert read(LEAST, "peft.rank=2").peft.rank == 2


def test_the_last_override_wins_and_the_rest_of_the_section_stays(read):
    recipe = read(LEAST + "inner: {epochs: 2, batch_size: 5}", "inner.epochs=3", "inner.epochs=4")
    assert (recipe.inner.epochs, recipe.inner.batch_size) == (4, 5)


def test_overrides_expand_variables(read, monkeypatch):
    monkeypatch.setenv("RSMETA_TEST", "there")
    assert read(LEAST, "runs=${RSMETA_TEST}").runs.as_posix() == "there"


def test_another_method_starts_the_section_afresh(read):
    text = LEAST + "peft: {method: lora, rank: 16, positions: [q]}"
    assert read(text, "peft.method=linear_probe").peft.model_dump() == {"method": "linear_probe"}


def test_the_same_method_keeps_the_section(read):
    text = LEAST + "peft: {method: lora, rank: 16, positions: [q]}"
    assert read(text, "peft.method=lora").peft.rank == 16


def test_naming_the_default_method_keeps_a_section_that_leaves_it_out(read):
    assert read(LEAST + "peft: {rank: 16}", "peft.method=lora").peft.rank == 16


def test_keys_of_the_new_method_may_follow_the_change(read):
    text = LEAST + "peft: {method: linear_probe}"
    assert read(text, "peft.method=lora", "peft.rank=3").peft.rank == 3


def test_another_source_starts_the_data_section_afresh(read):
    text = "name: x\ndata: {source: table, file: a.csv, sensor: rgb, crop: 20}"
    recipe = read(text, "data.source=simulator")
    assert recipe.data.crop == type(recipe.data)().crop


def test_another_loss_starts_only_the_loss_afresh(read):
    text = LEAST + "inner: {epochs: 3, loss: {name: logit_adjusted, tau: 2}}"
    recipe = read(text, "inner.loss.name=cross_entropy")
    assert recipe.inner.loss.model_dump() == {"name": "cross_entropy"}
    assert recipe.inner.epochs == 3


def test_choices_that_are_no_discriminator_keep_their_section(read):
    text = LEAST + "outer: {resample: epoch, every: 9}"
    assert read(text, "outer.resample=never").outer.every == 9


def test_a_wrong_override_is_reported_like_a_wrong_recipe(problems):
    [line] = problems(LEAST, "peft.rnk=4")
    assert line.startswith("peft.rnk: unknown key; did you mean 'rank'?")


@pytest.mark.parametrize("text", ["seed", "=3", "", " =3"])
def test_an_override_without_key_or_value_is_refused(problems, text):
    assert problems(LEAST, text) == [f"override '{text}' is not of the form dotted.key=value"]


@pytest.mark.parametrize("text", ["seed=[1", "name=2024-13-45"])
def test_an_override_that_is_not_yaml_is_refused(problems, text):
    [line] = problems(LEAST, text)
    assert text in line


def test_an_override_below_a_value_is_refused(problems):
    assert problems(LEAST, "name.first=3") == ["name.first: 'name' is a value"]


def test_overrides_work_on_plain_values():
    values = override(Recipe, {"name": "x"}, ["data.source=simulator", "data.crop=32"])
    assert values == {"name": "x", "data": {"source": "simulator", "crop": 32}}
    assert validate(Recipe, values).data.crop == 32
