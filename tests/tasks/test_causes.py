"""A training that cannot go on says why in one line."""

import argparse
import json
import logging
import multiprocessing
import os
import re
import subprocess
import sys

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.tasks import causes
from espnet_otreg.tasks.run_record import training_state
from espnet_otreg.tasks.trainer import WholeTrainer
from tests.support import tiny_data


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_data.make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def refused(corpus, tmp_path):
    """Train in vain; the line in which the command ends."""

    def train(*further, **changes):
        with pytest.raises(SystemExit) as ended:
            tiny_data.train(corpus, tmp_path, *further, **changes)
        line = str(ended.value.code)
        assert line.startswith("error: ") and "\n" not in line
        return line

    return train


KEYS = {
    "frontend_conf": "DefaultFrontend", "specaug_conf": "SpecAug",
    "normalize_conf": "UtteranceMVN", "encoder_conf": "TransformerEncoder",
    "decoder_conf": "TransformerDecoder", "ctc_conf": "CTC", "model_conf": "ESPnetASRModel",
    "optim_conf": "Adam", "scheduler_conf": "WarmupLR", "preprocessor_conf": "CommonPreprocessor",
}  # fmt: skip


@pytest.mark.parametrize("section", KEYS)
def test_an_unknown_key_of_espnets_own_is_named_with_its_section(refused, section):
    changes = {section: {"foo": 1}, "specaug": "specaug" if section == "specaug_conf" else None}
    assert refused(**changes) == f"error: {section}.foo is not an option of {KEYS[section]}"


def test_a_key_that_is_nearly_right_is_guessed(refused):
    line = refused(encoder_conf={"num_block": 2})
    assert line.endswith(
        "num_block is not an option of TransformerEncoder: did you mean num_blocks?"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "foo"}, "encoder must be one of .*transformer.*; got foo"),
        ({"decoder": "foo"}, "decoder must be one of .*; got foo"),
        ({"frontend": "foo"}, "frontend must be one of default, .*; got foo"),
        ({"optim": "foo"}, "optim must be one of adam, .*; got foo"),
        ({"scheduler": "foo"}, "scheduler must be one of .*; got foo"),
        ({"model": "foo"}, "model must be one of espnet, .*otreg.*; got foo"),
        ({"init": "foo"}, "init must be one of .*; got foo"),
        ({"token_type": "foo"}, "token_type must be one of .*; got foo"),
        ({"batch_type": "foo"}, "batch_type must be one of .*; got foo"),
        ({"train_dtype": "float8"}, "train_dtype must be one of .*; got float8"),
        ({"foo": 1}, "unrecognized arguments: foo"),
        ({"seed": "a"}, "argument --seed: invalid int value: 'a'"),
        ({"encoder_conf": None}, "encoder_conf must be a mapping of options, got None"),
        ({"model_conf": [1]}, r"model_conf must be a mapping of options, got \[1\]"),
        ({"encoder_conf": {"output_size": "a"}}, "encoder_conf.output_size: str is not .*int"),
        ({"decoder_conf": {"attention_heads": 3}}, "attention.py:.*n_head == 0"),
        ({"model_conf": {"ctc_weight": 2}}, "ctc_weight must be a number from 0 to 1, got 2"),
        ({"model_conf": {"lsm_weight": "a"}}, "model_conf.lsm_weight: str is neither float or int"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"max_epoch": 0}, "max_epoch must be 1 or more, got 0"),
        ({"accum_grad": 0}, "accum_grad must be 1 or more, got 0"),
        ({"keep_nbest_models": 0}, "keep_nbest_models must be 1 or more, got 0"),
        ({"best_model_criterion": [["valid"]]}, "must hold a phase, a figure and min or max"),
        ({"init_param": ["/missing/a.pth"]}, "init_param names /missing/a.pth, which does not"),
        ({"normalize": "global_mvn"}, "GlobalMVN needs a value for 'stats_file'"),
        (
            {"normalize": "global_mvn", "normalize_conf": {"stats_file": "/missing/s.npz"}},
            "/missing/s.npz does not exist: look at normalize_conf",
        ),
        ({"bpemodel": "/missing/m", "token_type": "bpe"}, "bpemodel names /missing/m"),
    ],
)
def test_what_espnet_cannot_do_is_one_line(refused, changes, message):
    assert re.search(message, refused(**changes))


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (["--train_shape_file", "/missing/shape"], "train_shape_file names /missing/shape"),
        (["--valid_data_path_and_name_and_type", "/no,a,text"], "and_type names /no, which does"),
        (["--config", "/missing.yaml"], "No such file: /missing.yaml"),
        (["--ngpu", "abc"], "argument --ngpu: invalid int value: 'abc'"),
        (["--token_list", "/missing/tokens"], "token_list names /missing/tokens"),
    ],
)
def test_what_the_command_line_lacks_is_one_line(refused, further, message):
    assert message in refused(*further)


def test_initial_weights_that_are_a_torso_are_named(refused, tmp_path):
    torch.save({"a": torch.zeros(100)}, tmp_path / "whole.pth")
    torso = tmp_path / "torso.pth"
    torso.write_bytes((tmp_path / "whole.pth").read_bytes()[:300])
    line = refused("--init_param", str(torso))
    assert line.startswith(f"error: init_param names {torso}, which holds no weights")


def test_a_checkpoint_of_another_model_is_told_in_one_line(corpus, tmp_path, refused):
    tiny_data.train(corpus, tmp_path, max_epoch=1)
    line = refused(encoder_conf={"linear_units": 32})
    assert "does not fit the configured model" in line and "--resume false" in line


def test_an_error_that_nobody_foresaw_is_a_line_and_its_traceback_is_in_the_log(
    refused, monkeypatch, caplog
):
    def broken(cls, **_):
        raise LookupError("first line\nsecond line")

    monkeypatch.setattr(WholeTrainer, "train_one_epoch", classmethod(broken))
    assert refused() == "error: LookupError: first line second line"
    assert any(record.exc_info and record.levelno == logging.ERROR for record in caplog.records)


def test_a_training_that_learns_nothing_fails_and_is_not_called_finished(refused, tmp_path):
    line = refused(model_conf={"ot_conf": {"weight": 1.0e300}})
    assert "no step of epoch 1 had a finite gradient" in line
    state = training_state(tmp_path / "exp")
    assert not state.finished and "no step of epoch 1" in state.reason


def test_a_training_that_ends_well_says_so(corpus, tmp_path):
    exp = tiny_data.train(corpus, tmp_path)
    assert training_state(exp).finished
    content = json.loads((exp / "run.json").read_text())
    assert (content["updates"], content["skipped_updates"]) == (4, 0)


def test_what_processes_say_of_another_one_is_not_the_cause(caplog):
    with pytest.raises(SystemExit) as ended:
        causes.stop(RuntimeError("[gloo/pair.cc:525] Connection closed by peer [127.0.0.1]:1"))
    assert ended.value.code == 1 and "another one did" in caplog.text


def test_a_process_that_espnet_spawned_ends_in_one_line_too(monkeypatch):
    def fail():
        with causes.told_by_spawned(argparse.Namespace()):
            raise UserError("what to mend")

    with pytest.raises(UserError):
        fail()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the command")
    with pytest.raises(SystemExit, match=r"^error: what to mend$"):
        fail()


def test_under_torchrun_the_first_cause_is_said_once(corpus, tmp_path):
    command = tiny_data.command(corpus, tmp_path, batch_size=1)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node", "2", "-m", "espnet_otreg.stages.asr_train"),
            *(*command, "--dist_backend", "gloo"),
        ],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said == [
        "error: a batch of 1 cannot be shared out to 2 processes: raise batch_size to 2 or more, "
        "or train with fewer processes"
    ]
    report = done.stderr.partition("Root Cause")[2]  # torchrun's own
    assert said[0].removeprefix("error: ") in report and "Traceback" not in report
