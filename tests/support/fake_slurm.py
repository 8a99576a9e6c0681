"""SLURM for tests: called as sbatch, squeue, scancel or requeue; what it knows lies in a folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["FAKE_SLURM"])


def write(job: str, name: str, text: str) -> None:
    """Write what is known of a job, whole."""
    beside = FOLDER / f".{job}.{name}.{os.getpid()}"
    beside.write_text(text)
    beside.replace(FOLDER / f"{job}.{name}")


def sbatch(words: list[str]) -> None:
    """Start a job beside this process, or refuse it."""
    if "--partition=none" in words:
        sys.exit("sbatch: error: invalid partition specified: none")
    job = str(len(list(FOLDER.glob("*.words"))) + 1)
    write(job, "words", json.dumps(words))
    write(job, "state", "RUNNING node1")
    start(job)
    print(job)


def start(job: str) -> None:
    """Run a job's script in a session of its own."""
    given = {**os.environ, "SLURM_JOB_ID": job, "SLURM_CPUS_PER_TASK": "2"}
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with open(os.devnull, "r+b") as nothing:
        child = subprocess.Popen(
            [sys.executable, __file__, "run", job],
            env=given, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True,
        )  # fmt: skip
    write(job, "pid", str(child.pid))


def run(words: list[str]) -> None:
    """Be the node: run the script, say how it ended."""
    (job,) = words
    given = json.loads((FOLDER / f"{job}.words").read_text())
    with open(given[given.index("--output") + 1], "ab") as log:
        status = subprocess.run(["bash", given[-1]], stdout=log, stderr=log).returncode
        if status == 9:  # a time limit, as this fake has it
            log.write(b"slurmstepd: error: *** JOB 1 ON node1 CANCELLED DUE TO TIME LIMIT ***\n")
    ended = {0: "COMPLETED", 9: "TIMEOUT"}.get(status, "FAILED")
    write(job, "state", f"{ended} node1")


def squeue(words: list[str]) -> None:
    """Tell the states of those jobs that are known."""
    jobs = words[words.index("--jobs") + 1].split(",")
    if (FOLDER / "silent").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller")
    known = [job for job in jobs if (FOLDER / f"{job}.state").exists()]
    if not known:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    for job in known:
        state = (FOLDER / f"{job}.state").read_text()
        if "all" in words:
            print(f"{job} {state}")
        elif state.split()[0] in ("RUNNING", "PENDING"):
            print(state.split()[0])


def kill(job: str) -> None:
    """End all processes of a job at once."""
    os.killpg(int((FOLDER / f"{job}.pid").read_text()), signal.SIGKILL)
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"SLURM_JOB_ID={job}".encode() in entry.read_bytes().split(b"\0") and (
                f"FAKE_SLURM={FOLDER}".encode() in entry.read_bytes().split(b"\0")
            ):
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except OSError:
            continue


def scancel(words: list[str]) -> None:
    """Cancel a job."""
    kill(words[0])
    write(words[0], "state", "CANCELLED node1")


def requeue(words: list[str]) -> None:
    """Take a job's node away, and give it one again."""
    kill(words[0])
    write(words[0], "state", "PREEMPTED node1")
    time.sleep(0.3)
    write(words[0], "state", "PENDING (BeginTime)")
    time.sleep(0.3)
    write(words[0], "state", "RUNNING node2")
    start(words[0])


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2:])
    else:
        globals()[Path(sys.argv[0]).name](sys.argv[1:])
