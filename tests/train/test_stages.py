import pytest
from pydantic import ValidationError
from small_runs import small

from rsmeta.train.stages import stages

SEARCH = {"scale_search": {"factors": [0.5, 1, 2], "epochs": 2}, "resample": "never"}


@pytest.mark.parametrize(
    ("outer", "peft", "starts", "learning", "trial_ends"),
    [
        ({}, {"modulators": "fixed"}, [0], range(0), []),
        ({}, {}, [0], range(12), []),
        ({"final_epochs": 4}, {}, [0], range(8), []),
        ({"final_epochs": 4, "restart": True}, {}, [0, 8], range(8), []),
        (SEARCH, {}, [0, 2, 4, 6], range(6, 12), [1, 3, 5]),
        (SEARCH, {"modulators": "fixed"}, [0], range(0), []),
        (SEARCH | {"final_epochs": 5}, {}, [0, 2, 4, 6], range(6, 7), [1, 3, 5]),
        (
            SEARCH | {"final_epochs": 4, "restart": True},
            {},
            [0, 2, 4, 6, 8],
            range(6, 8),
            [1, 3, 5],
        ),
    ],
)
def test_what_happens_in_which_epoch(tmp_path, outer, peft, starts, learning, trial_ends):
    found = stages(small(tmp_path, inner={"epochs": 12}, outer=outer, peft=peft))
    assert list(found.starts) == starts
    assert found.learning == learning
    assert list(found.trial_ends) == trial_ends
    assert [epoch for stage in found for epoch in stage] == list(range(12))
    assert [stage.start for stage in found] == starts


@pytest.mark.parametrize(
    ("outer", "peft", "message"),
    [
        (SEARCH | {"resample": "epoch"}, {}, "chips that train in no trial"),
        (SEARCH | {"held_out": False}, {}, "chips that train in no trial"),
        (SEARCH | {"final_epochs": 6}, {}, r"scale_search \(6 epochs\) with outer.final_epochs 6"),
        (SEARCH | {"scale_search": {"factors": [1]}}, {}, "two or more different numbers"),
        (SEARCH | {"scale_search": {"factors": [1, 1]}}, {}, "two or more different numbers"),
        (SEARCH | {"scale_search": {"factors": [0, 1]}}, {}, "two or more different numbers"),
        (SEARCH | {"scale_search": {"epochs": 0}}, {}, "greater than or equal to 1"),
        (SEARCH | {"scale_search": {"caution": 0.5}}, {}, "greater than or equal to 1"),
        (SEARCH, {"pruning": {}}, "drops sites for good"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, outer, peft, message):
    with pytest.raises(ValidationError, match=message):
        small(tmp_path, inner={"epochs": 12}, outer=outer, peft=peft)
