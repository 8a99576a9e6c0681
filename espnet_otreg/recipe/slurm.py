"""A step's command as a job in SLURM's queue.

The job counts its GPUs and cores itself. It is asked for again when a node fails or another job
takes its place (`--requeue`), and its command goes on from what is finished. It is cancelled when
the run that submitted it is interrupted; a run that was killed finds its jobs again.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json, write_lines
from espnet_otreg.recipe.running import PATIENCE, Running, say
from espnet_otreg.recipe.step import Step
from espnet_otreg.recipe.task import ENDED, Task

PAUSE = 5.0  # seconds between questions to the queue, for all jobs together
ANSWER = 60  # seconds that SLURM has for an answer
LOST = 3  # answers in a row without a job, until it counts as gone
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL")
PERHAPS_OVER = ("NODE_FAIL", "PREEMPTED", "REVOKED", "SPECIAL_EXIT")  # unless it is queued again
GONE = "GONE"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Queue:
    """What SLURM says of the jobs; asked once for all of them."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._answer: dict[str, tuple[str, str]] = {}
        self._at = -PAUSE
        self._silent = False
        self.answers = 0

    def state(self, job: str) -> tuple[str, str]:
        """Return a job's state, and its reason or node; GONE if the queue does not know it."""
        self.asked.add(job)
        new = job not in self._answer and not self._silent
        if new or time.monotonic() - self._at >= PAUSE:
            self._ask()
        return self._answer.get(job, ("", ""))

    def _ask(self) -> None:
        """Ask for all; where there is no answer, what was known stays."""
        self._at = time.monotonic()
        words = ["--noheader", "--states", "all", "--jobs", ",".join(sorted(self.asked))]
        done = ask("squeue", *words, "--format", "%i %T %R")
        if done.returncode and "Invalid job id" not in done.stderr:
            if not self._silent:
                say(f"squeue does not answer ({_line(done.stderr)}): asking on")
            self._silent = True
            return
        self._silent = False
        self.answers += 1
        found = {}
        for line in done.stdout.splitlines():
            job, state, *rest = line.split(None, 2)
            found[job] = (state, rest[0] if rest else "")
        self._answer = {job: found.get(job, (GONE, "")) for job in self.asked}


class Job(Running):
    """A job, from its submission to its end."""

    def __init__(self, step: Step, task: Task, log: Path, queue: Queue) -> None:
        super().__init__(step, log)
        self.task, self.queue, self.number = task, queue, ""
        self.file = log
        beside = step.record.parent / f"{step.out.name}.job"
        self._script, self._task = Path(f"{beside}.sh"), Path(f"{beside}.task.json")
        self._status, self._note = Path(f"{beside}.status"), Path(f"{beside}.json")
        self._seen = self._state = ""  # what the queue says; what the user was told
        self._first = 0  # the answer in which the queue said so first
        self._ended: int | None = None

    def submit(self) -> None:
        """Put it into the queue, unless an earlier run that was killed has done so."""
        if self._found_again():
            return
        self._status.unlink(missing_ok=True)
        write_json(self._task, self.task.as_dict())
        write_lines(self._script, self._lines())
        with undisturbed():  # no interruption between submission and knowing the number
            done = ask("sbatch", *self.options(), str(self._script))
            if done.returncode:
                raise UserError(f"sbatch refuses {self.step.name}: {_line(done.stderr)}")
            self.number = done.stdout.strip().splitlines()[-1].split(";")[0]
            write_json(self._note, {"job": self.number, "key": self.step.key})
        say(f"job {self.number} ({self.step.name}): submitted, log in {self.file}")

    def poll(self) -> bool:
        """Tell whether it ended; until then, tell the user of its states and epochs."""
        if self._ended is None and self.number:
            self.tell_epochs()
            if self._written() == 0:  # faster than the queue, which may forget the job
                self._ended = 0
                self._tell("ended")
            else:
                self._look()
        return self._ended is not None or not self.number

    def wait(self) -> int:
        """Return the status it ended with."""
        while not self.poll():
            time.sleep(0.5)
        self.tell_epochs()
        if self._ended is None:
            raise UserError(f"{self.step.name} was not submitted")
        self._note.unlink(missing_ok=True)
        self.queue.asked.discard(self.number)
        return self._ended

    def cause(self) -> str:
        """Say what SLURM and the log say of its end."""
        said = super().cause()
        ended = f"job {self.number} {self._state}" if self._state != "FAILED" else ""
        return ": ".join(part for part in (ended, said) if part)

    def stop(self) -> None:
        """Cancel it and wait until its processes are gone."""
        if not self.number:
            return
        with undisturbed():
            done = ask("scancel", self.number)
            if done.returncode:
                say(f"job {self.number}: scancel fails ({_line(done.stderr)}): cancel it by hand")
                return
            say(f"job {self.number} ({self.step.name}): cancelled")
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                answer = ask("squeue", "--noheader", "--jobs", self.number, "--format", "%T")
                if not answer.stdout.strip():
                    break
                time.sleep(0.5)
            self._note.unlink(missing_ok=True)

    def _look(self) -> None:
        """Take in what the queue says; decide whether the job is over."""
        state, where = self.queue.state(self.number)
        if not state:
            return
        if state != self._seen:
            before, self._seen, self._first = self._seen, state, self.queue.answers
            if state not in (GONE, "COMPLETING"):
                self._state = state
                if state == "PENDING" and before:
                    state = "PENDING again, goes on from what is finished then"
                self._tell(f"{state} {where}".strip())
        lasted = self.queue.answers - self._first
        if self._seen in OVER or (self._seen in (*PERHAPS_OVER, GONE) and lasted >= LOST):
            self._ended = self._verdict()

    def _verdict(self) -> int:
        """Say how a job that is over ended: it has written that down, or SLURM knows."""
        written = self._written()
        if written is not None:
            return written
        if self._seen == GONE:
            self._state = accounted(self.number) or "left the queue without a word"
        return 0 if self._state == "COMPLETED" else 1

    def _written(self) -> int | None:
        """Return the status that the job left; a signal's is no end, it may be queued again."""
        try:
            return int(self._status.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _found_again(self) -> bool:
        """Find the job of a run that was killed; of another command, cancel it."""
        if not self._note.exists():
            return False
        note = read_json(self._note)
        self.number = str(note["job"])
        state, _ = self.queue.state(self.number)
        if state in (*OVER, GONE):
            self.number = ""
            return False
        if note["key"] == self.step.key:
            say(f"job {self.number} ({self.step.name}): submitted by an earlier run, goes on")
            return True
        self.stop()
        self.number = ""
        return False

    def _tell(self, what: str) -> None:
        say(f"job {self.number} ({self.step.name}): {what}")

    def options(self) -> Iterator[str]:
        """Yield sbatch's options; the user's come last and so win."""
        nodes = self.task.machine.num_nodes if self.step.kind == "train" else 1
        yield from ("--parsable", "--requeue", "--open-mode", "append")
        yield from ("--job-name", re.sub(r"[^\w.-]", "_", self.step.name))
        yield from ("--output", str(self.file.resolve()).replace("%", "%%"))
        yield from ("--nodes", str(nodes), "--ntasks-per-node", "1")
        yield from ("--cpus-per-task", os.environ.get("slurm_cpus") or "4")  # noqa: SIM112
        asked = self.task.machine.ngpu
        if asked not in ("auto", "0"):
            if self.step.kind == "train":
                yield from ("--gres", f"gpu:{asked}")
            elif self.task.machine.gpu_inference:
                yield from ("--gres", "gpu:1")
        yield from shlex.split(os.environ.get("slurm_options", ""))  # noqa: SIM112

    def _lines(self) -> Iterator[str]:
        """Yield the script's lines."""
        program = ["-m", "espnet_otreg.recipe.task", str(self._task.resolve())]
        run = shlex.join([sys.executable, *program])
        if self.step.kind == "train" and self.task.machine.num_nodes > 1:
            run = f'srun --kill-on-bad-exit=1 --cpus-per-task="${{SLURM_CPUS_PER_TASK:-1}}" {run}'
        status = shlex.quote(str(self._status.resolve()))
        yield "#!/usr/bin/env bash"
        yield f"# {self.step.name}, as it was submitted"
        yield f"cd {shlex.quote(os.getcwd())} || exit 1"
        yield f"rm -f {status}"
        yield run
        yield "status=$?"
        yield f"# {ENDED} and more: a signal; whoever sent it may let the job run again"
        yield f"[ $status -ge {ENDED} ] || {{ echo $status > {status}.part; }}"
        yield f"[ $status -ge {ENDED} ] || mv {status}.part {status}"
        yield "exit $status"


def ask(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM's, as if from outside any job."""
    own = ("SLURM_CONF", "SLURM_CLUSTERS")
    clean = {k: v for k, v in os.environ.items() if k in own or not k.startswith("SLURM_")}
    try:
        return subprocess.run(
            [program, *words], capture_output=True, text=True, env=clean, timeout=ANSWER
        )
    except FileNotFoundError:
        raise UserError(
            f"cmd_backend=slurm, but {program} is not on the PATH: run this on a machine of the "
            "cluster, or set cmd_backend=local in cmd.sh"
        ) from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([program], 1, "", f"no answer in {ANSWER} seconds")


def accounted(job: str) -> str:
    """Ask SLURM's accounts, where there are any, for the state of a job that the queue forgot."""
    if shutil.which("sacct") is None:
        return ""
    words = ("--noheader", "--allocations", "--parsable2", "--format", "State", "--jobs", job)
    said = ask("sacct", *words).stdout.split()
    return said[0] if said else ""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and the like wait until this is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _line(text: str) -> str:
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"
