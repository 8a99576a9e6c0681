"""`run.json`: whether a training is over, and why not."""

import argparse

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json
from espnet_otreg.tasks.run_record import recording, training_state


@pytest.fixture
def args(tmp_path):
    return argparse.Namespace(
        output_dir=str(tmp_path), dist_rank=None, collect_stats=False, dry_run=False, ngpu=0,
        seed=0, resume=True, max_epoch=3,
    )  # fmt: skip


def test_a_training_is_unfinished_until_its_end(args, tmp_path):
    with recording(args) as record:
        record.note_epoch(1, 10, 0)
        state = training_state(tmp_path)
        assert not state.finished
        assert "interrupted, or is still running (epoch 1 of 3)" in state.reason
    assert training_state(tmp_path) == (True, "")


def test_a_finished_training_that_is_begun_again_is_unfinished(args, tmp_path):
    with recording(args):
        pass
    with recording(args):
        assert not training_state(tmp_path).finished


def test_the_reason_of_a_failure_is_kept_in_one_line(args, tmp_path):
    with pytest.raises(UserError), recording(args):
        raise UserError("no step of\nepoch 1 had a finite gradient")
    state = training_state(tmp_path)
    assert not state.finished
    assert state.reason.startswith("no step of epoch 1 had a finite gradient")


def test_a_record_that_cannot_be_written_does_not_hide_why(args, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="the cause"), recording(args) as record:
        monkeypatch.setattr(record, "write", full)
        raise UserError("the cause")


def test_time_and_counts_go_on_over_runs(args, tmp_path):
    write_json(tmp_path / "run.json", {"wall_time_s": 100, "epochs": {"1": [5, 1], "2": [5, 2]}})
    with recording(args) as record:
        record.note_epoch(2, 5, 0)  # done again
    content = read_json(tmp_path / "run.json")
    assert 100 < content["wall_time_s"] < 200
    assert (content["updates"], content["skipped_updates"]) == (10, 1)
    assert content["clipped_updates"] is None  # of the epochs before nobody counted them


@pytest.mark.parametrize(
    ("files", "finished"),
    [([], True), (["checkpoint.pth"], False), (["checkpoint.pth", ".done"], True)],
)
def test_older_folders_without_a_record_are_judged_by_what_lies_in_them(tmp_path, files, finished):
    for name in files:
        (tmp_path / name).touch()
    assert training_state(tmp_path).finished is finished
