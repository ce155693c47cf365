import pytest
from rich.console import Console
from tiny_vits import CONFIGS, vit

from rsmeta.peft.methods import plan
from rsmeta.peft.plan_table import plan_frame, plan_table, spans
from rsmeta.recipe import FullFineTuning, LinearProbe, Lora


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 7], "0, 2-3, 7"), ([10, 11], "10-11")],
)
def test_rising_numbers_are_written_as_spans(numbers, text):
    assert spans(numbers) == text


@pytest.mark.parametrize("method", CONFIGS)
def test_the_frame_holds_every_line_with_its_parameters(method):
    lines = plan(CONFIGS[method], vit())
    frame = plan_frame(lines)
    assert list(frame.columns) == ["block", "position", "method", "rank", "parameters"]
    assert len(frame) == len(lines)
    assert frame["parameters"].sum() == sum(line.parameters for line in lines)
    assert set(frame["method"]) <= {method}


def test_what_lies_outside_of_the_blocks_has_no_block():
    frame = plan_frame(plan(FullFineTuning(), vit()))
    outside = frame[frame["block"].isna()]
    assert set(outside["position"]) == {"embedding", "output"}
    assert frame["block"].dropna().tolist() == [0, 1]


def shown(table):
    console = Console(width=120, record=True)
    console.print(table)
    return [line.replace("│", " ").split() for line in console.export_text().splitlines()]


def test_blocks_with_the_same_line_share_a_row_and_the_total_is_their_sum():
    lines = plan(Lora(positions=["q", "fc1"], blocks=[0, 1, 3], rank=2), vit(depth=4))
    rows = shown(plan_table(lines, head=36, modulators=6))
    assert ["0-1,", "3", "q", "lora", "2", "3", "x", "48"] in rows
    assert ["0-1,", "3", "fc1", "lora", "2", "3", "x", "120"] in rows
    assert ["trainable", str(3 * 48 + 3 * 120 + 36 + 6)] in rows


def test_a_line_of_its_own_has_no_factor():
    lines = plan(Lora(positions=["q"], blocks=[3], rank=2), vit(depth=4))
    rows = shown(plan_table(lines, head=1_036, modulators=1))
    assert ["3", "q", "lora", "2", "48"] in rows
    assert ["head", "1,036"] in rows
    assert ["modulators", "outer", "loop", "1"] in rows


def test_a_plan_without_lines_has_head_and_total():
    rows = shown(plan_table(plan(LinearProbe(), vit()), head=36, modulators=0))
    assert ["head", "36"] in rows
    assert ["trainable", "36"] in rows
    assert not any("modulators" in row for row in rows)


@pytest.mark.parametrize("method", CONFIGS)
def test_methods_without_a_rank_have_0(method):
    ranked = getattr(CONFIGS[method], "rank", 0)
    assert set(plan_frame(plan(CONFIGS[method], vit()))["rank"]) <= {ranked}


def test_the_total_stands_in_the_column_of_the_parameters():
    table = plan_table(plan(LinearProbe(), vit()), head=36, modulators=0)
    assert table.row_count == 2
    assert [list(column.cells)[-1] for column in table.columns[1:]] == ["trainable", "", "", "36"]
