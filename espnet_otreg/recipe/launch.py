"""Start a step's command: here, by torchrun where it trains, or in SLURM's queue.

Nothing started here outlives the process that started it.
"""

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.machine import gpus
from espnet_otreg.recipe.step import Step

PATIENCE = 10  # seconds between asking a command to end and ending it
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_EPOCH = re.compile(
    r" (\d+)epoch results: \[train\].*?, loss=([0-9.eE+-]+|nan|inf).*?\[valid\].*?, "
    r"loss=([0-9.eE+-]+|nan|inf)"
)


class Machine(NamedTuple):
    """What trainings and decodings may use."""

    ngpu: str  # per machine; auto: what the job finds
    gpu_inference: bool
    num_nodes: int


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)


def _own_group() -> None:
    os.setpgid(0, 0)
    die_with_parent(signal.SIGTERM)


class Running:
    """A command that was started."""

    def __init__(
        self, step: Step, command: Sequence[str], log: Path | None, further: dict[str, str]
    ):
        self.step, self.log = step, log
        self._since = time.monotonic()
        self._read = log.stat().st_size if log is not None and log.exists() else 0
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        stream = open(log, "ab") if log is not None else None  # noqa: SIM115 (the child's)
        try:
            self._process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **further},
                preexec_fn=_own_group,
            )
        finally:
            if stream is not None:
                stream.close()

    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._since

    def poll(self) -> bool:
        """Tell whether it ended; until then, tell the user of epochs that did."""
        ended = self._process.poll() is not None
        self._tell_epochs()
        return ended

    def wait(self) -> int:
        """Return the status it ended with."""
        while not self.poll():
            try:
                self._process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        return self._process.returncode

    def cause(self) -> str:
        """Say in one line what its log says of its end."""
        if self.log is None:
            return ""  # it has told the user itself
        with open(self.log, "rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - (1 << 20)))
            lines = stream.read().decode("utf-8", "replace").splitlines()
        own = [line for line in lines if line.startswith("error: ")]
        if own:
            return own[0].removeprefix("error: ")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def stop(self) -> None:
        """Ask it and its children to end; end them if they do not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(PATIENCE)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

    def _tell_epochs(self) -> None:
        if self.step.kind != "train" or self.log is None or not self.log.exists():
            return
        with open(self.log, "rb") as stream:
            stream.seek(self._read)
            text = stream.read()
        whole = text.rfind(b"\n") + 1
        self._read += whole
        for epoch, loss, valid in _EPOCH.findall(text[:whole].decode("utf-8", "replace")):
            print(
                f"  {self.step.out.name}: epoch {epoch}, loss {loss}, validation loss {valid}",
                file=sys.stderr,
                flush=True,
            )


class Launcher:
    """Starts commands where this recipe's commands run: here, or in a queue."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.backend = os.environ.get("cmd_backend", "local")  # noqa: SIM112 (as in cmd.sh)
        if self.backend not in ("local", "slurm"):
            raise UserError(f"cmd_backend must be local or slurm, got {self.backend!r}")
        self._running: list[Any] = []

    def start(self, step: Step) -> Running:
        """Start a step's command."""
        log = step.out / "train.log" if step.kind == "train" else None
        if step.kind != "train" and step.module.endswith(".asr_train"):
            log = step.record.with_suffix(".log")
        if self.backend == "slurm" and step.kind in ("train", "job"):
            from espnet_otreg.recipe.slurm import Job

            job = Job(step, self.machine, log or step.record.with_suffix(".log"))
            self._running.append(job)
            return job  # type: ignore[return-value]
        command, further = command_of(step, self.machine)
        running = Running(step, command, log, further)
        self._running.append(running)
        return running

    def stop_all(self) -> None:
        """End everything that still runs."""
        for running in self._running:
            if not running.poll():
                running.stop()


def command_of(step: Step, machine: Machine) -> tuple[list[str], dict[str, str]]:
    """Return what runs a step on this machine, and further environment variables."""
    if step.kind != "train":
        found = _count(machine.ngpu) if machine.gpu_inference else 0
        words = [str(min(1, found)) if word == "%ngpu" else word for word in step.words]
        return [sys.executable, "-m", step.module, *words], {}
    number = _count(machine.ngpu)
    words, wished = _without(step.words, "--processes")
    processes = number or _shared_out(wished, words, step)
    words = ["--ngpu", str(min(1, number)), *words]
    if number:
        words += ["--use_amp", "true"]
    start = [sys.executable, "-m"]
    if processes * machine.num_nodes > 1:
        start = [sys.executable, *_torchrun(processes, machine.num_nodes)]
        words += ["--dist_backend", "nccl" if number else "gloo"]
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return [*start, step.module, *words], {"OMP_NUM_THREADS": threads}


def _count(ngpu: str) -> int:
    return gpus() if ngpu == "auto" else int(ngpu)


def _torchrun(processes: int, num_nodes: int) -> list[str]:
    """Give torchrun's words; several machines meet at MASTER_ADDR:MASTER_PORT."""
    words = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    if num_nodes == 1:
        return [*words, "--standalone", "-m"]
    address = os.environ.get("MASTER_ADDR")
    if not address:
        raise UserError(
            f"--num_nodes {num_nodes}: set MASTER_ADDR to the first machine's name and run the "
            "same command on every machine, or use cmd_backend=slurm, which does both"
        )
    endpoint = f"{address}:{os.environ.get('MASTER_PORT', '29511')}"
    words += ["--nnodes", str(num_nodes), "--rdzv_backend", "c10d"]
    return [*words, "--rdzv_endpoint", endpoint, "--rdzv_id", "otreg", "-m"]


def _without(words: Sequence[str], option: str) -> tuple[list[str], int]:
    """Take out an option that is for this module alone; its value is 1 where it is not given."""
    if option not in words:
        return list(words), 1
    place = list(words).index(option)
    return [*words[:place], *words[place + 2 :]], int(words[place + 1])


def _shared_out(wished: int, words: Sequence[str], step: Step) -> int:
    """Use a process per core, but not more than a batch has utterances: batches are shared out."""
    config: dict[str, Any] = next((given.values for given in step.given.values()), {})
    arguments = dict(pairwise(words))
    size = arguments.get("--batch_size", config.get("batch_size", 20))  # ESPnet's default
    return max(1, min(wished, int(size)))


def as_text(command: Sequence[str], further: dict[str, str]) -> str:
    """Write a command for a shell."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in further.items()]
    return " ".join([*variables, shlex.join(command)])
