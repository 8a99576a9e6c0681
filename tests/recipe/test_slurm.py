"""With cmd_backend=slurm, trainings and jobs run in a queue; this one is only a pretence."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.recipe import machine, slurm
from espnet_otreg.recipe.machine import Machine
from espnet_otreg.recipe.run import Engine
from espnet_otreg.recipe.running import cause_in
from espnet_otreg.recipe.task import Task
from tests.support.tiny_steps import PROGRAM, ROOT, arguments, declared, graph, until
from tests.support.tiny_steps import step as step_of

FAKE = ROOT / "tests/support/fake_slurm.py"


@pytest.fixture(autouse=True)
def queue(tmp_path, monkeypatch):
    """A folder to work in, with SLURM's programs on the path."""
    programs, known, work = tmp_path / "bin", tmp_path / "known", tmp_path / "a b"
    for folder in (programs, known, work):
        folder.mkdir()
    for name in ("sbatch", "squeue", "scancel", "requeue"):
        program = programs / name
        program.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        program.chmod(0o755)
    monkeypatch.chdir(work)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("FAKE_SLURM", str(known))
    monkeypatch.setenv("cmd_backend", "slurm")
    monkeypatch.setattr(slurm, "PAUSE", 0.05)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return known


def step(name, *words, kind="job"):
    return step_of(name, *words, kind=kind, stage=11 if kind == "train" else 12)


def run(*steps, **options):
    whole = graph(*steps)
    Engine(whole, arguments(train_nj=9, **options)).run()
    return whole


def words_of(queue, job=1):
    return json.loads((queue / f"{job}.words").read_text())


def test_trainings_and_jobs_are_submitted_and_other_steps_run_here(queue, capfd):
    run(step("a", "--text", "x"), step("b", "--input", "@a/text", kind="step"))
    assert len(list(queue.glob("*.words"))) == 1
    made = run(step("a", "--text", "x"), step("t", "--input", "@a/text", kind="train"))
    assert len(list(queue.glob("*.words"))) == 2
    assert (made.steps["t"].out / "copy").read_text() == "x"
    said = capfd.readouterr().err
    assert "job 1 (a): submitted" in said
    assert "job 1 (a): ended" in said or "job 1 (a): COMPLETED" in said  # whichever comes first
    assert "already done" in said


def test_the_job_counts_its_cores_and_not_the_machine_that_submits():
    made = run(step("a", "--text", "%cores"), ngpu="auto")
    assert (made.steps["a"].out / "text").read_text() == "2"  # as fake_slurm.py gives


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
        ({"SLURM_GPUS_ON_NODE": "3"}, 3),
        ({}, 0),
    ],
)
def test_a_job_uses_the_gpus_it_was_given_and_no_others(monkeypatch, tmp_path, given, expected):
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text("#!/bin/sh\nfor i in 0 1 2 3 4; do echo GPU $i; done\n")
    program.chmod(0o755)
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_GPUS_ON_NODE", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert machine.gpus() == 5
    for name, value in {**given, "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert machine.gpus() == expected


def test_sbatch_is_asked_for_what_the_user_says_and_slurm_options_come_last(queue, monkeypatch):
    monkeypatch.setenv("slurm_options", "--partition 'big one' --cpus-per-task 9")
    monkeypatch.setenv("slurm_cpus", "3")
    steps = (step("t", kind="train"), step("a"))
    run(*steps, ngpu="auto")
    words = words_of(queue)
    assert {"--parsable", "--requeue"} < set(words) and "--gres" not in words
    assert words[words.index("--cpus-per-task") + 1] == "3"
    assert words[-5:-1] == ["--partition", "big one", "--cpus-per-task", "9"]


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("train", {"ngpu": "4"}, "gpu:4"),
        ("job", {"ngpu": "4", "gpu_inference": True}, "gpu:1"),
        ("job", {"ngpu": "4"}, None),
        ("train", {"ngpu": "0"}, None),
        ("train", {"ngpu": "auto"}, None),
    ],
)
def test_gpus_are_asked_for_where_the_user_names_a_number(kind, options, expected):
    one = graph(step("t", kind=kind)).steps["t"]
    given = {"gpu_inference": False, "num_nodes": 1, **options}
    words = list(
        slurm.Job(one, Task.of(one, Machine(**given)), Path("log"), slurm.Queue()).options()
    )
    assert (words[words.index("--gres") + 1] if "--gres" in words else None) == expected


def test_the_cause_of_a_failed_job_is_told(queue, capfd):
    Path("bad").touch()
    steps = [step("a", "--fail_if", str(Path("bad").resolve())), step("b")]
    with pytest.raises(UserError, match=r"a job failed .see above.: a"):
        run(*steps)
    said = capfd.readouterr().err
    assert "a, failed with status 1" in said and "told to fail" in said
    assert graph(*steps).digest("b") is not None  # side by side


def test_a_job_that_the_queue_ends_says_how(queue, capfd):
    with pytest.raises(UserError):
        run(step("a", "--exit", "9"))
    assert "job 1 TIMEOUT: CANCELLED DUE TO TIME LIMIT" in capfd.readouterr().err


WORKER = """Traceback (most recent call last):
  File "/x/serialization.py", line 3, in load
    raise RuntimeError(message)
RuntimeError: PytorchStreamReader failed reading zip archive
""".splitlines()
LAUNCHER = """E1128 torch/distributed/elastic/multiprocessing/api.py: failed (exitcode: 1)
Traceback (most recent call last):
  File "/x/run.py", line 9, in <module>
    main()
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
espnet_otreg.stages.asr_train FAILED
============================================================
srun: error: node1: task 0: Exited with exit code 1""".splitlines()


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (WORKER, "RuntimeError: PytorchStreamReader failed reading zip archive"),
        ([f"[rank1]: {line}" for line in WORKER], "RuntimeError: PytorchStreamReader failed"),
        ([*WORKER[:-1], "OSError: [Errno 28] No space left on device"], "No space left on device"),
        ([*WORKER, "error: batch_size must be 1 or more"], "batch_size must be 1 or more"),
        (["asr_train.py: error: unrecognized arguments: --x"], "unrecognized arguments: --x"),
        (
            ["slurmstepd: error: Detected 1 oom_kill event in StepId=5.batch. Some were killed."],
            "Detected 1 oom_kill event",
        ),
        (["  traceback : Signal 9 (SIGKILL) received by PID 7"], "a process was killed (SIGKILL)"),
        (["  traceback : Signal 9 (SIGKILL) received by PID 7", *WORKER], "RuntimeError: Pytorch"),
        (["slurmstepd: error: *** JOB 5 ON n CANCELLED AT 1 DUE TO PREEMPTION ***", *WORKER],
         "RuntimeError: PytorchStreamReader"),
    ],
)  # fmt: skip
def test_the_first_real_cause_is_told_and_not_the_launchers_frames(lines, cause):
    assert cause_in(["INFO: epoch 1", *lines, *LAUNCHER]).startswith(cause)


def test_a_refused_submission_is_one_line(monkeypatch):
    monkeypatch.setenv("slurm_options", "--partition=none")
    with pytest.raises(UserError, match=r"sbatch refuses a: .*invalid partition specified: none"):
        run(step("a"))


def test_without_slurm_it_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="sbatch is not on the PATH"):
        run(step("a"))


@pytest.fixture
def waiting(queue):
    """An engine in another process whose job waits."""
    started = []

    def start():
        words = ["--text", "x", "--started", "on", "--wait_for", "go"]
        child = subprocess.Popen(
            [sys.executable, "-c", f"from espnet_otreg.recipe import slurm\nslurm.PAUSE = .05\n"
             f"{PROGRAM}", "1"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        child.stdin.write(declared(step("t", *words, kind="train")))
        child.stdin.close()
        started.append(child)
        return child

    child = start()
    until(lambda: Path("on").exists())
    yield child, start
    for child in started:
        child.kill()
        child.stderr.close()
        child.wait()
    for known in queue.glob("*.pid"):
        subprocess.run(["scancel", known.stem])


def state(queue, job=1):
    return (queue / f"{job}.state").read_text().split()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_cancels_its_jobs(queue, waiting, number):
    child, _ = waiting
    child.send_signal(number)
    assert "cancelled" in child.stderr.read().decode()
    assert state(queue) == "CANCELLED"


def test_a_job_that_loses_its_place_goes_on_by_itself(queue, waiting):
    child, _ = waiting
    Path("on").unlink()
    subprocess.run(["requeue", "1"], check=True)
    until(lambda: Path("on").exists())
    said = ""
    while "RUNNING node2" not in said:
        line = child.stderr.readline().decode()
        assert line, f"it ended: {said}"
        said += line
    Path("go").touch()
    child.stderr.read()
    assert child.wait() == 0
    assert "PENDING again" in said
    assert not (queue / "2.words").exists()


def test_a_run_that_was_killed_finds_its_job_again(queue, waiting):
    child, start = waiting
    child.kill()
    child.wait()
    assert state(queue) == "RUNNING"
    again = start()
    line = again.stderr.readline() + again.stderr.readline()
    assert b"job 1 (t): submitted by an earlier run, goes on" in line
    Path("go").touch()
    again.stderr.read()
    assert again.wait() == 0 and not (queue / "2.words").exists()


def test_a_queue_that_is_silent_for_a_while_ends_nothing(queue, waiting):
    child, _ = waiting
    (queue / "silent").touch()
    line = b""
    while b"squeue does not answer" not in line:
        line = child.stderr.readline()
    (queue / "silent").unlink()
    Path("go").touch()
    child.stderr.read()
    assert child.wait() == 0


def test_a_job_that_the_queue_forgets_has_failed_unless_it_wrote_otherwise(queue, waiting):
    child, _ = waiting
    (queue / "1.state").unlink()  # at once: a state told in between would be another story
    assert b"left the queue without a word" in child.stderr.read()
    assert child.wait() != 0
