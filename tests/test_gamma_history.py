from dataclasses import fields, replace

import pandas as pd
import pytest

from rsmeta.gamma_history import write_gamma_history
from rsmeta.peft.sites import BandSite, Site
from rsmeta.train.records import EpochRecord

SITES = (Site.named(0, "q"), Site.named(11, "fc2"), BandSite("VV"))
EPOCH = EpochRecord(**{field.name: 1 for field in fields(EpochRecord) if field.name != "gammas"})


def test_one_row_a_site_and_epoch_until_it_is_pruned(tmp_path):
    history = [
        replace(EPOCH, epoch=1, gammas=(1.5, 0.25, 1.0)),
        replace(EPOCH, epoch=2, gammas=(1.75, 0.0, 0.5)),
    ]
    write_gamma_history(tmp_path, history, SITES)
    assert (tmp_path / "gamma_history.csv").read_text() == (
        "epoch,block,position,gamma\n1,0,q,1.5\n1,11,fc2,0.25\n1,,VV,1.0\n2,0,q,1.75\n2,,VV,0.5\n"
    )


@pytest.mark.parametrize("sites", [(), SITES])
def test_no_rows_without_modulators_or_from_epochs_of_older_versions(tmp_path, sites):
    write_gamma_history(tmp_path, [EPOCH], sites)
    assert pd.read_csv(tmp_path / "gamma_history.csv").empty


def test_a_run_ends_with_the_modulators_it_stores(finished_run):
    run = finished_run[1]
    course, table = pd.read_csv(run / "gamma_history.csv"), pd.read_csv(run / "modulators.csv")
    assert course.groupby("epoch").size().tolist() == [len(table)] * 2
    last = course[course["epoch"] == 2].merge(table, on=["block", "position"])
    assert last["gamma_x"].tolist() == pytest.approx(last["gamma_y"].tolist())
    assert len(last) == len(table)
