"""The same with SLURM itself, started on this machine with two nodes that are both this machine."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.recipe import slurm
from espnet_otreg.recipe.run import Engine
from tests.support.tiny_steps import PROGRAM, ROOT, STEP, arguments, declared, graph, until
from tests.support.tiny_steps import step as step_of

NEEDED = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name)]
pytestmark = [
    pytest.mark.skipif(bool(NEEDED), reason=f"needs {' '.join(NEEDED)}: Debian's slurm-wlm, munge"),
    pytest.mark.skipif(os.geteuid() != 0, reason="SLURM's daemons start as root"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """SLURM, for as long as this file's tests last."""
    folder = tmp_path_factory.mktemp("slurm")
    daemons = subprocess.Popen(
        [str(ROOT / "tests/support/slurm_here.sh"), str(folder), "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until((folder / "ready").exists)
        yield folder / "slurm.conf"
    finally:
        daemons.terminate()
        daemons.wait(30)


@pytest.fixture(autouse=True)
def folder(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    monkeypatch.setenv("cmd_backend", "slurm")
    monkeypatch.setenv("slurm_cpus", "1")
    monkeypatch.setattr(slurm, "PAUSE", 0.2)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def step(name, *words, kind="job", module=STEP):
    made = step_of(name, *words, kind=kind, stage=11 if kind == "train" else 12)
    made[4] = module
    return made


def run(*steps, **options):
    whole = graph(*steps)
    Engine(whole, arguments(train_nj=9, **options)).run()
    return whole


def scontrol(*words):
    return subprocess.run(["scontrol", *words], capture_output=True, text=True).stdout


def state(job):
    words = ["--noheader", "--states", "all", "--format", "%T", "--jobs", job]
    return subprocess.run(["squeue", *words], capture_output=True, text=True).stdout.strip()


def number(said):
    return said.partition("job ")[2].partition(" ")[0]


def test_a_job_runs_with_the_cores_and_gpus_it_was_given(capfd, monkeypatch):
    monkeypatch.setenv("slurm_options", "--gres gpu:2")
    made = run(step("a", "--text", "%cores"), ngpu="auto")
    assert (made.steps["a"].out / "text").read_text() == "1"
    assert "1 cores, 2 GPUs" in made.steps["a"].record.with_suffix(".log").read_text()
    assert "submitted" in capfd.readouterr().err


def test_a_training_runs_on_two_nodes():
    made = run(step("t", kind="train", module="tests.support.reduce_step"), num_nodes=2)
    assert (made.steps["t"].out / "text").read_text() == "11"  # of two processes


def test_a_failure_and_a_refusal_say_their_cause(capfd, monkeypatch):
    Path("bad").touch()
    with pytest.raises(UserError):
        run(step("a", "--fail_if", str(Path("bad").resolve())))
    assert "failed with status 1" in (said := capfd.readouterr().err) and "told to fail" in said
    monkeypatch.setenv("slurm_options", "--partition none")
    with pytest.raises(UserError, match=r"sbatch refuses b: .*Invalid partition"):
        run(step("b"))


@pytest.fixture
def waiting():
    """An engine in another process whose job waits."""
    words = ["--text", "x", "--started", "on", "--wait_for", "go"]
    child = subprocess.Popen(
        [sys.executable, "-c", f"from espnet_otreg.recipe import slurm\nslurm.PAUSE = .2\n"
         f"{PROGRAM}", "1"],
        stdin=subprocess.PIPE, stderr=open("said", "wb"),  # noqa: SIM115 (the child's)
    )  # fmt: skip
    child.stdin.write(declared(step("t", *words, kind="train")))
    child.stdin.close()
    until(Path("on").exists)
    yield child, number(Path("said").read_text())
    child.terminate()
    child.wait()


def test_an_interrupted_run_cancels_its_job(waiting):
    child, job = waiting
    child.send_signal(signal.SIGINT)
    child.wait()
    assert state(job) == "CANCELLED"
    assert f"job {job} (t): cancelled" in Path("said").read_text()


def test_a_preempted_job_goes_on_by_itself(waiting):
    child, job = waiting
    Path("on").unlink()
    words = ["--partition", "high", "--nodes", "2", "--cpus-per-task", "2", "--output", "/dev/null"]
    other = subprocess.run(
        ["sbatch", "--parsable", *words, "--wrap", "sleep 1"], capture_output=True, text=True
    ).stdout.strip()
    until(lambda: state(job) == "PENDING")
    until(lambda: state(other) == "COMPLETED")
    scontrol("update", f"JobId={job}", "StartTime=now")  # SLURM itself waits two minutes
    until(Path("on").exists)
    Path("go").touch()
    assert child.wait() == 0
    said = Path("said").read_text()
    assert f"job {job} (t): PENDING again" in said and said.count("submitted") == 1
