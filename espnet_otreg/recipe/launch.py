"""Start a step's command: here, on several machines where it trains, or in SLURM's queue."""

import os
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.machine import Machine
from espnet_otreg.recipe.nodes import announce, announce_end
from espnet_otreg.recipe.running import Local, Running
from espnet_otreg.recipe.slurm import Job, Queue
from espnet_otreg.recipe.step import Step
from espnet_otreg.recipe.task import Task, command_of


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
