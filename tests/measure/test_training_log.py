import math

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.measure.training_log import parse_epochs, read_epochs, series

STAMP = "[host:0/2] 2025-01-01 00:00:00,000 (trainer:394) INFO: "


def line(epoch, train, valid):
    return (
        f"{STAMP}{epoch}epoch results: [train] iter_time=0.042, {train}, clip=0.000e+00, "
        "time=1 hour, 2 minutes and 34.33 seconds, total_count=28, "
        f"[valid] {valid}, cer=nan, time=0.34 seconds, total_count=2\n"
    )


def test_every_statistic_of_both_sections_is_found_and_durations_are_none():
    (epoch,) = parse_epochs(
        [
            "noise",
            f"{STAMP}2/10epoch started.",
            line(7, "loss=0.282, ot_cost=9.842e-07", "ot_cost=-1.5e+2"),
        ]
    ).items()
    assert epoch[0] == 7
    train, valid = epoch[1]["train"], epoch[1]["valid"]
    expected = {"iter_time": 0.042, "loss": 0.282, "ot_cost": 9.842e-07, "clip": 0.0}
    assert train == {**expected, "total_count": 28.0}
    assert math.isnan(valid.pop("cer"))
    assert valid == {"ot_cost": -150.0, "total_count": 2.0}


def test_an_epoch_trained_twice_has_the_later_figures(tmp_path):
    """Resumed twice: train.2.log is the oldest, train.log the newest."""
    (tmp_path / "train.2.log").write_text(line(1, "a=1", "a=10") + line(2, "a=2", "a=20"))
    (tmp_path / "train.1.log").write_text(line(2, "a=3", "a=30"))
    (tmp_path / "train.log").write_text(line(3, "a=4", "a=40"))
    (tmp_path / "train.old.log").write_text(line(4, "a=9", "a=90"))
    epochs = read_epochs(tmp_path / "train.log")
    assert series(epochs, "a", "valid") == ([1, 2, 3], [10.0, 30.0, 40.0])
    assert series(epochs, "a", "train") == ([1, 2, 3], [1.0, 3.0, 4.0])
    assert series(epochs, "ot_cost", "valid") == series(epochs, "a", "att_plot") == ([], [])


def test_no_log_is_an_error_and_an_unfinished_epoch_is_none(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_epochs(tmp_path / "train.log")
    (tmp_path / "train.log").write_text(f"{STAMP}1/10epoch started.\n")
    assert read_epochs(tmp_path / "train.log") == {}
