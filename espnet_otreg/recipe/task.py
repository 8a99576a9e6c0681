"""A task: what a step's command is made of, and its words on the machine that runs it.

`python3 -m espnet_otreg.recipe.task TASK.json` is what a job in the queue, or a further machine
of a training, runs: only there is it known what there is to compute with.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json
from espnet_otreg.recipe.machine import Machine, cores, gpus, meeting
from espnet_otreg.recipe.running import PATIENCE, die_with_parent, say
from espnet_otreg.recipe.step import Step

ENDED = 128  # and the signal's number: status of a command that a signal ended


class Task(NamedTuple):
    """What a command is made of, wherever it is started."""

    kind: str
    module: str
    words: list[str]
    batch_size: int  # of all processes together
    machine: Machine
    meeting_id: str = "otreg"  # machines of another training cannot join

    @classmethod
    def of(cls, step: Step, machine: Machine) -> "Task":
        """Take what matters of a step."""
        config: dict[str, Any] = next((given.values for given in step.given.values()), {})
        arguments = dict(pairwise(step.words))
        size = arguments.get("--batch_size", config.get("batch_size", 20))  # ESPnet's default
        return cls(step.kind, step.module, step.words, int(size), machine)

    def as_dict(self) -> dict[str, Any]:
        """Give what JSON can hold."""
        return {**self._asdict(), "machine": self.machine._asdict()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Task":
        """Make it anew of what `as_dict` gave."""
        return cls(**{**content, "machine": Machine(**content["machine"])})


def command_of(task: Task) -> tuple[list[str], dict[str, str]]:
    """Return what runs a task on this machine, and further environment variables."""
    machine = task.machine
    if task.kind != "train":
        found = _count(machine.ngpu) if machine.gpu_inference else 0
        meaning = {"%ngpu": str(min(1, found)), "%cores": str(cores())}
        words = [meaning.get(word, word) for word in task.words]
        return [sys.executable, "-m", task.module, *words], {}
    number = _count(machine.ngpu)
    words, wished = _without(task.words, "--processes")
    # batches are shared out: a process per core, but not more of them than utterances
    processes = number or max(1, min(wished, task.batch_size // machine.num_nodes))
    words = ["--ngpu", str(min(1, number)), *words]
    if number:
        words += ["--use_amp", "true"]
    start = [sys.executable, "-m"]
    if processes * machine.num_nodes > 1:
        start = [sys.executable, *_torchrun(task, processes)]
        words += ["--dist_backend", "nccl" if number else "gloo"]
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return [*start, task.module, *words], {"OMP_NUM_THREADS": threads}


def _count(ngpu: str) -> int:
    return gpus() if ngpu == "auto" else int(ngpu)


def _torchrun(task: Task, processes: int) -> list[str]:
    """Give torchrun's words; the ranks of several machines are fixed, so sums are too."""
    words = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    if task.machine.num_nodes == 1:
        return [*words, "--standalone", "-m"]
    address, port, rank = meeting(task.machine.num_nodes)
    words += ["--nnodes", str(task.machine.num_nodes), "--node_rank", str(rank)]
    words += ["--master_addr", address, "--master_port", str(port)]
    return [*words, "--rdzv_id", task.meeting_id, "-m"]


def _without(words: Sequence[str], option: str) -> tuple[list[str], int]:
    """Take out an option that is for this module alone; its value is 1 where it is not given."""
    if option not in words:
        return list(words), 1
    place = list(words).index(option)
    value = words[place + 1]
    return [*words[:place], *words[place + 2 :]], cores() if value == "%cores" else int(value)


def run_here(path: Path) -> int:
    """Run a task to its end on this machine; told to end, end it first."""
    task = Task.from_dict(read_json(path))
    command, further = command_of(task)
    say(f"{cores()} cores, {gpus()} GPUs: {' '.join(command[:8])} ...")
    process = subprocess.Popen(
        command,
        env={**os.environ, **further},
        preexec_fn=lambda: die_with_parent(signal.SIGTERM),
        start_new_session=True,
    )

    def end(number: int, frame: FrameType | None) -> None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        sys.exit(ENDED + number)  # whatever the command makes of it

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    status = process.wait()
    return status if status >= 0 else ENDED - status


if __name__ == "__main__":
    try:
        sys.exit(run_here(Path(sys.argv[1])))
    except UserError as error:
        sys.exit(f"error: {error}")
