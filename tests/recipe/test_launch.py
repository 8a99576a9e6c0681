"""Several machines train one model: without a queue, the same command runs on each."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from espnet2.train.distributed_utils import DistributedOption, resolve_distributed_mode
from espnet2.utils.build_dataclass import build_dataclass

from espnet_otreg.errors import UserError
from espnet_otreg.recipe import launch
from espnet_otreg.recipe.machine import Meeting, meeting
from espnet_otreg.recipe.run import Engine
from espnet_otreg.tasks.asr import ASRTask
from tests.support.tiny_steps import PROGRAM, ROOT, arguments, declared, graph, step, until


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delenv("cmd_backend", raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")


def machine(number, *steps):
    """Run the engine as one of two machines would."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("num_nodes=1", "num_nodes=2"), "1"],
        stdin=subprocess.PIPE,
        stderr=open(f"said{number}", "wb"),  # noqa: SIM115 (the child's)
        env={**os.environ, "NODE_RANK": str(number)},
    )
    child.stdin.write(declared(*steps))
    child.stdin.close()
    return child


def training(name, *words):
    declaration = step(name, *words, kind="train", stage=11)
    declaration[4] = "tests.support.reduce_step"
    return declaration


def test_two_machines_train_together_and_the_first_alone_does_and_writes_the_rest():
    last = step("b", "--input", "@two/text", stage=12)
    steps = (step("a"), training("one"), training("two", "+", "--processes", "1"), last)
    second = machine(1, *steps)
    first = machine(0, *steps)
    assert (first.wait(), second.wait()) == (0, 0), Path("said1").read_text()
    made = graph(*steps).steps
    assert (made["b"].out / "copy").read_text() == "11"  # 10 ** 0 + 10 ** 1
    assert (made["one"].out / "text").read_text() == "11"
    assert (made["one"].out / "train.machine1.log").exists()
    said = Path("said1").read_text()
    assert "takes part in one" in said and "takes part in two" in said
    assert "stage 1" not in said and said.rstrip().endswith("the first one has ended, so does this")


def test_a_further_machine_waits_and_leaves_alone_what_an_earlier_run_said(tmp_path):
    launch.announce_end(launch.place(Path("exp")))
    child = machine(1, training("one"))
    until(lambda: "takes part in the trainings" in Path("said1").read_text())
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1)
    child.send_signal(signal.SIGINT)
    child.wait()
    assert not list(tmp_path.glob("made/**/*"))


@pytest.mark.parametrize("given", [{"MASTER_ADDR": ""}, {"NODE_RANK": "2"}, {"NODE_RANK": "x"}, {}])
def test_several_machines_are_told_what_must_be_set_before_anything_runs(monkeypatch, given):
    monkeypatch.delenv("NODE_RANK", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"--num_nodes 2: run the same command on every machine"):
        Engine(graph(step("a")), arguments(num_nodes=2)).run()
    assert not Path("made").exists()


@pytest.mark.parametrize("world", [1, 4])
def test_espnet_takes_the_gpu_that_torchrun_gives_to_a_process(monkeypatch, world):
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda **_: None)
    given = {"RANK": 3, "LOCAL_RANK": 1, "WORLD_SIZE": 4, "CUDA_VISIBLE_DEVICES": "4,6"}
    for name, value in (given if world > 1 else {}).items():
        monkeypatch.setenv(name, str(value))
    args = ASRTask.get_parser().parse_args(["--ngpu", "1", "--output_dir", "unused"])
    resolve_distributed_mode(args)
    option = build_dataclass(DistributedOption, args)
    option.init_options()
    option.init_torch_distributed()
    assert (taken, option.distributed, option.ngpu) == ([1] if world > 1 else [], world > 1, 1)


def test_a_slurm_step_meets_at_its_first_node(tmp_path, monkeypatch):
    program = tmp_path / "scontrol"
    answers = "case $2 in hostnames) echo n7; echo n9 ;; node) echo NodeAddr=10.0.0.7 x ;; esac"
    program.write_text(f"#!/bin/sh\n{answers}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    step_of_job = {
        "SLURM_JOB_ID": "12345", "SLURM_STEP_ID": "0", "SLURM_NODEID": "1",
        "SLURM_STEP_NODELIST": "n[7,9]", "MASTER_ADDR": "else",
    }  # fmt: skip
    assert meeting(2, step_of_job) == Meeting("10.0.0.7", 22345, 1)
