"""What a kill, a full disk and gradients that are not finite do to a training."""

import errno
import itertools
import os
import resource
import signal

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.tasks import checkpoints
from espnet_otreg.tasks.trainer import WholeTrainer
from tests.support.toy_training import in_child, killed_before, killed_inside, train, weights

AVERAGED = {"keep_nbest_models": [1, 2], "nbest_averaging_interval": 2, "max_epoch": 3}
EARLY = {
    "patience": 0,
    "early_stopping_criterion": ("valid", "loss", "max"),
    "max_epoch": 8,
}  # ends after epoch 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights of trainings that nobody disturbed, by options."""
    found = {}
    for name, options in (("averaged", AVERAGED), ("early", EARLY)):
        folder = tmp_path_factory.mktemp(name)
        train(folder, **options)
        found[name] = weights(folder)
    return found


@pytest.mark.parametrize(("name", "options"), [("averaged", AVERAGED), ("early", EARLY)])
def test_a_kill_before_any_change_of_the_folder_changes_nothing(tmp_path, whole, name, options):
    for change in itertools.count():
        folder = tmp_path / str(change)
        if not killed_before(change, folder, lambda folder=folder: train(folder, **options)):
            break
        train(folder, **options)
        assert weights(folder) == whole[name], f"killed before change {change}"
    assert change > 20


@pytest.mark.parametrize(("name", "options"), [("averaged", AVERAGED), ("early", EARLY)])
def test_a_kill_inside_any_write_changes_nothing(tmp_path, whole, name, options):
    for number in itertools.count():
        folder = tmp_path / str(number)
        if not killed_inside(number, lambda folder=folder: train(folder, **options)):
            break
        train(folder, **options)
        assert weights(folder) == whole[name], f"killed in save {number}"
    assert number > 3


def test_a_finished_training_that_is_started_again_stays_as_it_is(tmp_path, whole):
    train(tmp_path, **EARLY)
    train(tmp_path, **EARLY)
    assert weights(tmp_path) == whole["early"]


def until_epoch(last, folder, **options):
    """Train until that epoch counts, and die in the next one."""

    def work():
        one_epoch = WholeTrainer.train_one_epoch.__func__

        def dying(cls, **given):
            result = one_epoch(cls, **given)
            if given["reporter"].get_epoch() > last:
                os._exit(0)
            return result

        WholeTrainer.train_one_epoch = classmethod(dying)
        train(folder, **options)

    assert in_child(work) == 0


@pytest.mark.parametrize("torso", [b"", b"PK\x03\x04 torso", "half", "hole"])
def test_the_resume_point_before_an_unreadable_one_is_used(tmp_path, whole, caplog, torso):
    until_epoch(2, tmp_path, **AVERAGED)
    path = tmp_path / "checkpoint.pth"
    content = path.read_bytes()
    if torso == "half":
        torso = content[: len(content) // 2]
    elif torso == "hole":
        middle = len(content) // 4  # inside a tensor or the pickle
        torso = content[:middle] + bytes(64) + content[middle + 64 :]
    path.write_bytes(torso)
    train(tmp_path, **AVERAGED)
    assert weights(tmp_path) == whole["averaged"]
    assert "checkpoint.pth is not a whole checkpoint" in caplog.text
    assert "going on from checkpoint.previous.pth" in caplog.text


def test_an_unreadable_resume_point_without_another_names_the_remedy(tmp_path):
    until_epoch(1, tmp_path, **AVERAGED)
    (tmp_path / "checkpoint.pth").write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoint\.pth is not a whole .*0 bytes.*remove it"):
        train(tmp_path, **AVERAGED)


def test_a_kill_between_the_two_moves_of_a_resume_point_leaves_no_second_link(tmp_path):
    (tmp_path / checkpoints.CHECKPOINT).write_bytes(b"epoch 1")
    os.link(tmp_path / checkpoints.CHECKPOINT, tmp_path / checkpoints.PREVIOUS)  # killed here
    (tmp_path / f"{checkpoints.CHECKPOINT}{checkpoints.PART}").write_bytes(b"epoch 2")
    assert checkpoints.move_resume_point(tmp_path, keep_previous=True)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == {checkpoints.CHECKPOINT: b"epoch 2", checkpoints.PREVIOUS: b"epoch 1"}


def test_a_resume_point_of_another_training_is_never_gone_back_to(tmp_path):
    until_epoch(2, tmp_path, **AVERAGED)
    until_epoch(1, tmp_path, **AVERAGED, resume=False)
    assert not (tmp_path / "checkpoint.previous.pth").exists()


def test_a_model_that_is_missing_is_made_again_from_the_resume_point(tmp_path, whole, caplog):
    until_epoch(2, tmp_path, **AVERAGED)
    (tmp_path / "2epoch.pth").unlink()
    train(tmp_path, **AVERAGED)
    assert weights(tmp_path) == whole["averaged"]
    assert "2epoch.pth is missing: made again" in caplog.text


def test_an_older_model_that_is_missing_is_left_out_and_named(tmp_path, caplog):
    until_epoch(2, tmp_path, **AVERAGED)
    (tmp_path / "1epoch.pth").unlink()
    train(tmp_path, **AVERAGED)
    assert "1epoch.pth missing: left out" in caplog.text
    models = [torch.load(tmp_path / f"{epoch}epoch.pth") for epoch in (2, 3)]
    average = torch.load(tmp_path / "valid.loss.ave.pth")
    for name, value in average.items():
        assert torch.equal(value, (models[0][name] + models[1][name]) / 2)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(path, mode):
        return open("/dev/full", mode)

    monkeypatch.setattr(checkpoints, "open", full, raising=False)
    with pytest.raises(UserError) as error:
        train(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/checkpoint.pth cannot be written: No space left on device: free some space; "
        "the same command then goes on after the last finished epoch"
    )


def test_a_resume_point_whose_epoch_cannot_be_saved_is_not_left_behind(tmp_path, monkeypatch):
    def full(path, mode):
        return open("/dev/full" if path.name.startswith("2epoch") else path, mode)

    monkeypatch.setattr(checkpoints, "open", full, raising=False)
    with pytest.raises(UserError, match=r"2epoch\.pth cannot be written"):
        train(tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_a_write_that_fails_leaves_no_torso_and_the_same_command_goes_on(tmp_path, whole):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        train_one_epoch = WholeTrainer.train_one_epoch.__func__

        def limiting(cls, **given):
            if given["reporter"].get_epoch() == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
            return train_one_epoch(cls, **given)

        WholeTrainer.train_one_epoch = classmethod(limiting)
        try:
            train(tmp_path, **AVERAGED)
        except UserError as error:
            os._exit(errno.EFBIG if os.strerror(errno.EFBIG) in str(error) else 1)

    assert in_child(limited) == errno.EFBIG
    assert not list(tmp_path.glob("*.part"))
    for path in tmp_path.glob("*.pth"):
        torch.load(path, weights_only=False)
    train(tmp_path, **AVERAGED)
    assert weights(tmp_path) == whole["averaged"]


def test_a_training_without_a_finite_gradient_has_failed_and_fails_again(tmp_path):
    bad = tuple((2, i) for i in range(3))
    for _ in range(2):
        with pytest.raises(UserError, match=r"^no step of epoch 2 had a finite gradient \(3 tried"):
            train(tmp_path, bad, max_epoch=2)
    train(tmp_path, max_epoch=2)  # once the data are mended, epoch 2 is trained


def test_an_epoch_without_an_update_has_failed(tmp_path):
    with pytest.raises(UserError, match="epoch 1 had no update: fewer batches than accum_grad"):
        train(tmp_path, accum_grad=4)


@pytest.mark.parametrize(("grad_clip", "clipped"), [(1e-9, 8), (1e9, 0)])
def test_clipped_updates_are_counted_and_skipped_ones_are_none_of_them(
    tmp_path, grad_clip, clipped
):
    content = train(tmp_path, ((1, 0), (2, 1), (3, 0), (3, 2)), grad_clip=grad_clip).content
    assert content["clipped_updates"] == clipped


def test_skipped_updates_are_counted_over_resumptions(tmp_path):
    bad = ((1, 0), (2, 1), (3, 0), (3, 2))
    until_epoch(2, tmp_path, bad=bad)
    content = train(tmp_path, bad).content
    tried = {epoch: counts[:2] for epoch, counts in content["epochs"].items()}
    assert tried == {"1": [3, 1], "2": [3, 1], "3": [3, 2], "4": [3, 0]}
    assert (content["updates"], content["skipped_updates"]) == (12, 4)
