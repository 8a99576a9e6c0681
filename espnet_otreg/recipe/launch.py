"""Start a step's command: here, on several machines where it trains, or in SLURM's queue.

For a training on several machines without a queue the same command runs on each of them. The first
machine, NODE_RANK=0, does what it always does. Whenever it starts a training it says so in a file;
the others look there, take part in that training and do nothing else.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import write_json
from espnet_otreg.recipe.machine import Machine, meeting
from espnet_otreg.recipe.running import Local, Running, say
from espnet_otreg.recipe.slurm import Job, Queue
from espnet_otreg.recipe.step import Step
from espnet_otreg.recipe.task import Task, command_of

LOOK = 0.5  # seconds between two looks at the file


def place(expdir: Path) -> Path:
    """Where the first machine says what it trains."""
    return expdir / ".together.json"


def is_further(machine: Machine, queued: bool) -> bool:
    """Tell whether this machine is one of several, and not the first."""
    return machine.num_nodes > 1 and not queued and meeting(machine.num_nodes).rank > 0


def announce(path: Path, task: Task, step: Step) -> Task:
    """Ask the other machines to take part in a training; only those that read this can."""
    task = task._replace(meeting_id=f"{step.out.name}-{time.time_ns()}")
    known = {"name": step.name, "out": str(step.out)}
    write_json(path, {"id": task.meeting_id, "step": known, "task": task.as_dict()})
    return task


def announce_end(path: Path) -> None:
    """Tell the other machines that no further training follows."""
    write_json(path, {"id": f"end-{time.time_ns()}", "task": None})


def follow(path: Path) -> None:
    """Take part in the trainings of the first machine until it ends.

    What the file says of an earlier run's end is not meant for this one; a training is: it goes on
    now, or begins again once the first machine runs.
    """
    number = os.environ.get("NODE_RANK", "")
    say(f"machine {number}: takes part in the trainings of the first one, see {path}")
    last = read(path)
    seen = last["id"] if last["task"] is None else ""
    running: Running | None = None
    try:
        while True:
            current = read(path)
            if current["id"] != seen:
                seen = current["id"]
                _see_out(running)
                running = None
                if current["task"] is None:
                    say(f"machine {number}: the first one has ended, so does this")
                    return
                running = _join(current, number)
            if running is not None and running.poll():
                status, cause = running.wait(), running.cause()
                if status:
                    raise UserError(
                        f"{running.step.name} failed on machine {number} with status {status}, "
                        f"see {running.log}: {cause}"
                    )
                say(f"machine {number}: {running.step.name} ended")
                running = None
            time.sleep(LOOK)
    finally:
        if running is not None and not running.poll():
            running.stop()


def read(path: Path) -> dict[str, Any]:
    """Read what the first machine says; nothing yet is like an end."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {"id": "", "task": None}


def _join(said: dict[str, Any], number: str) -> Running:
    task = Task.from_dict(said["task"])
    name, out = said["step"]["name"], Path(said["step"]["out"])
    step = Step("join", 11, name, out, task.module, task.words, key="", needs=[])
    command, further = command_of(task)
    log = out / f"train.machine{number}.log"
    say(f"machine {number}: takes part in {name}, see {log}")
    return Local(step, command, log, further)


def _see_out(running: Running | None) -> None:
    """Wait for a training to end as the first machine's did; end one that it has left."""
    if running is None:
        return
    for _ in range(10):
        if running.poll():
            return
        time.sleep(LOOK)
    say(f"the first machine has left {running.step.name}")
    running.stop()


class Launcher:
    """Starts commands where this recipe's commands run: here, or in a queue."""

    def __init__(self, machine: Machine, together: Path) -> None:
        self.machine = machine
        self.together = together  # where further machines look for trainings to take part in
        backend = os.environ.get("cmd_backend", "local")  # noqa: SIM112 (as in cmd.sh)
        if backend not in ("local", "slurm"):
            raise UserError(f"cmd_backend must be local or slurm, got {backend!r}")
        self.queued = backend == "slurm"
        self._queue = Queue()
        self._running: list[Running] = []

    def side_by_side(self, kind: str) -> bool:
        """Tell whether steps of this kind run beside each other."""
        return kind == "train" or (kind == "job" and self.queued)

    def start(self, step: Step) -> Running:
        """Start a step's command."""
        log = step.out / "train.log" if step.kind == "train" else None
        if step.kind != "train" and step.module.endswith(".asr_train"):
            log = step.record.with_suffix(".log")
        task = Task.of(step, self.machine)
        if self.queued and step.kind in ("train", "job"):
            job = Job(step, task, log or step.record.with_suffix(".log"), self._queue)
            self._running.append(job)  # first: a signal from here on cancels it
            job.submit()
            return job
        if step.kind == "train" and self.machine.num_nodes > 1:
            task = announce(self.together, task, step)
        command, further = command_of(task)
        running = Local(step, command, log, further)
        self._running.append(running)
        return running

    def stop_all(self) -> None:
        """End everything that still runs."""
        for running in self._running:
            if not running.poll():
                running.stop()
        if not self.queued and self.machine.num_nodes > 1:
            announce_end(self.together)
