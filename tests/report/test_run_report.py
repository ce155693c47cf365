import re
from base64 import b64encode
from html.parser import HTMLParser

import pandas as pd
import pytest
from report_tables import MODULATOR_COLUMNS, history_table, modulator_table

from rsmeta.errors import RunError
from rsmeta.report import write_report

FIGURES = ["class_accuracy", "class_distribution", "confusion", "learning_curves"]
FILES = [
    *("recipe.yaml", "metrics.json", "resources.json"),
    *("per_class.csv", "confusion.csv", "modulators.csv", "history.csv"),
]
NO_MODULATORS = pd.DataFrame([], columns=MODULATOR_COLUMNS)


class Page(HTMLParser):
    """Tags, the attributes that load something, and whether every tag was closed."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, html):
        super().__init__()
        self.tags, self.loaded, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for key, value in attrs if key in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(run):
    return write_report(run).read_text(encoding="utf-8")


def without_images(html):
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)


def test_figures_of_a_run(make_run):
    run = make_run()
    write_report(run)
    written = sorted(path.name for path in (run / "figures").iterdir())
    assert written == sorted(f"{name}.png" for name in [*FIGURES, "modulators"])
    html = page_of(run)
    for path in (run / "figures").iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert b"Software" not in content  # the version of matplotlib
        assert b64encode(content).decode() in html


def test_trials_of_scales_are_shown_even_where_one_diverged(make_run):
    losses = [None, 1.5, None, float("inf"), *[None] * 8]
    run = make_run(history=history_table().assign(trial_loss=losses))
    html = page_of(run)
    assert (run / "figures" / "scale_trials.png").is_file()
    assert 'id="scale_trials"' in html


def test_a_run_without_modulators(make_run):
    run = make_run(modulators=NO_MODULATORS, history=history_table(3, outer=False))
    write_report(run)
    assert sorted(path.stem for path in (run / "figures").iterdir()) == FIGURES
    html = page_of(run)
    assert 'id="modulators"' not in html
    assert html.count("<figure") == 4


def test_report_stands_alone(make_run):
    html = page_of(make_run())
    page = Page(html)
    assert not page.open
    assert len(page.loaded) == 5
    assert all(value.startswith("data:image/png;base64,") for value in page.loaded)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    rest = without_images(html)
    assert "http" not in rest
    assert "url(" not in rest
    assert "@import" not in rest


def test_report_shows_the_numbers(make_run):
    run = make_run(unseen=("T72",), modulators=modulator_table([5], ("q",)).assign(gamma=1.23456))
    html = without_images(page_of(run))
    table = pd.read_csv(run / "per_class.csv")
    assert f"{100 * table['accuracy'].mean():.1f} %</dd>" in html
    assert "87.1 %</dd>" in html
    assert '<tr><th scope="row">T72</th>' in html
    assert ">–</td>" in html  # T72 has no test chips
    assert ">1.2346</td>" in html
    assert "method: lora" in html
    assert "<td>22,056,576</td>" in html
    assert "<td>312.5</td>" in html


def test_report_shows_contributions_and_a_dash_in_runs_without(make_run):
    modulators = modulator_table([5], ("q",))
    with_one = make_run(modulators=modulators.assign(contribution=0.04567), at="with")
    assert ">0.0457</td></tr>" in without_images(page_of(with_one))
    assert ">–</td></tr>" in without_images(page_of(make_run(modulators=modulators, at="without")))
    damaged = make_run(modulators=modulators.assign(contribution="much"), at="damaged")
    with pytest.raises(RunError, match=r"modulators\.csv' is damaged: column 'contribution'"):
        write_report(damaged)


def test_an_empty_group_has_a_dash(make_run):
    html = page_of(make_run(names=("only",)))
    assert html.count("<dd>–</dd>") == 2  # medium and tail


def test_foreign_text_is_inert(make_run):
    evil = "<script>alert(1)</script>"
    modulators = modulator_table([0], ("q",)).assign(method=evil)
    run = make_run(names=(evil, '"><img src=x>', "B & C", "$a$"), modulators=modulators)
    (run / "recipe.yaml").write_text(f"name: {evil}\n", encoding="utf-8")
    html = page_of(run)
    assert evil not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3
    assert Page(html).tags.count("img") == 5


def test_names_are_kept(make_run):
    """Of classes, even where they look like something else; of the run, while it is a draft."""
    names = ("NA", "null", "007", "1.50")
    html = page_of(make_run(names, at=".harbour-20260101-120000-000.partial"))
    for name in names:
        assert f'<th scope="row">{name}</th>' in html
    assert "<h1>harbour-20260101-120000-000</h1>" in html


def test_many_classes_some_unseen(make_run):
    names = tuple(f"class {number}" for number in range(45))
    html = page_of(make_run(names=names, unseen=names[10:12]))
    assert html.count('<tr><th scope="row">class ') == 45


def test_equal_runs_give_equal_bytes(make_run):
    first, second = make_run(at="a/run"), make_run(at="b/run")
    assert write_report(first).read_bytes() == write_report(second).read_bytes()


def test_no_run_folder(tmp_path):
    with pytest.raises(RunError, match=r"'.*nowhere' does not exist; .*rsmeta finetune"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(make_run, name):
    run = make_run()
    (run / name).unlink()
    with pytest.raises(RunError, match=f"lacks {name}") as caught:
        write_report(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("metrics.json", "{", "Expecting property name"),
        ("metrics.json", "[]", "must hold a mapping"),
        ("metrics.json", "{}", "'accuracy' must be a mapping"),
        ("metrics.json", '{"accuracy": {"head": 1.5}}', "'head' is 1.5, allowed: null or 0 to 1"),
        ("metrics.json", '{"accuracy": {"head": null}}', "'medium' is 'missing'"),
        ("per_class.csv", "", "No columns"),
        ("per_class.csv", "class,group\na,head\n", "column 'train_chips' is missing"),
        ("confusion.csv", "true class,a,b\na,1,2\n", "1 true classes but 2 predicted classes"),
        ("confusion.csv", "true class,a\na,1\n", "not those of per_class.csv"),
        ("history.csv", "epoch,loss,outer_loss\n1,low,\n", "column 'loss': .*'low'"),
        ("history.csv", "epoch,loss,outer_loss\n1,2,3,4\n1,2,3,4,5\n", "Expected 4 fields"),
        (
            "per_class.csv",
            "class,group,train_chips,test_chips,accuracy,precision\na,torso,1,1,1,1\n",
            "group 'torso' is unknown, allowed: head, medium, tail",
        ),
        ("gamma_history.csv", "epoch,position,gamma\n1,q,1\n", "column 'block' is missing"),
        ("gamma_history.csv", "epoch,block,position,gamma\n1,0,q,\n", "column 'gamma' has a cell"),
        ("features.csv", "true class,predicted class,x,y\nT72,T72,1,\n", "column 'y' has a cell"),
        (
            "features.csv",
            "true class,predicted class,x,y\nT99,T72,1,1\n",
            "class 'T99' is not one of the run's",
        ),
        ("chips.csv", "kind,file\n", "confidence"),
        (
            "modulators.csv",
            "block,position,method,rank,parameters,gamma\n-1,q,lora,8,10,1\n",
            "block -1 is negative",
        ),
    ],
)
def test_a_damaged_file(make_run, name, content, reason):
    run = make_run()
    (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=reason) as caught:
        write_report(run)
    assert f"{name}' is damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("count", "reason"),
    [("", "has a cell that is empty"), ("-1", "negative or no whole"), ("0.5", "no whole number")],
)
def test_counts_of_the_confusion_are_whole_numbers(make_run, count, reason):
    run = make_run(("a",))
    (run / "confusion.csv").write_text(f"true class,a\na,{count}\n", encoding="utf-8")
    with pytest.raises(RunError, match=rf"confusion\.csv' is damaged: .*{reason}"):
        write_report(run)


def test_a_file_that_is_not_text(make_run):
    run = make_run()
    (run / "per_class.csv").write_bytes(b"class,group\n\xff\xfe\n")
    with pytest.raises(RunError, match=r"per_class\.csv' is damaged"):
        write_report(run)


def test_a_folder_that_cannot_be_written(make_run):
    run = make_run()
    (run / "figures").write_text("in the way", encoding="utf-8")
    with pytest.raises(RunError, match="cannot be written"):
        write_report(run)
