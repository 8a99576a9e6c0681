"""A step's command once it was started: what the engine asks of it, wherever it runs.

Nothing started here outlives the process that started it.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from espnet_otreg.recipe.step import Step

PATIENCE = 10  # seconds between asking a command to end and ending it
TAIL = 1 << 20  # bytes of a log that are searched for a cause
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_EPOCH = re.compile(
    r" (\d+)epoch results: \[train\].*?, loss=([0-9.eE+-]+|nan|inf).*?\[valid\].*?, "
    r"loss=([0-9.eE+-]+|nan|inf)"
)
_TOLD = (  # what a line says that is a cause, the surest first
    re.compile(r"^error: (.*)"),  # ours
    re.compile(r"(No space left on device.*|Disk quota exceeded.*)"),
    re.compile(r"(CUDA out of memory.*|Detected \d+ oom.kill.*)"),  # the latter slurmstepd's
    re.compile(r"(CANCELLED.*DUE TO TIME LIMIT)"),
    re.compile(r"^\S+\.py: error: (.*)"),  # argparse's
)
KILLED = (
    "a process was killed (SIGKILL), which the system does where memory ends: "
    "smaller batches (batch_size, batch_bins) need less"
)
_LAUNCHER = ("ChildFailedError", "SignalException")  # end of a worker, not its cause
_TRACEBACK = "Traceback (most recent call last):"


def say(text: str) -> None:
    """Say something on stderr, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)


def _own_group() -> None:
    os.setpgid(0, 0)
    die_with_parent(signal.SIGTERM)


class Running(ABC):
    """A step's command that was started, here or in a queue."""

    def __init__(self, step: Step, log: Path | None) -> None:
        self.step, self.log = step, log
        self._since = time.monotonic()
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        self._began = log.stat().st_size if log is not None and log.exists() else 0
        self._read = self._began

    @abstractmethod
    def poll(self) -> bool:
        """Tell whether it ended; until then, tell the user of what happens to it."""

    @abstractmethod
    def wait(self) -> int:
        """Return the status it ended with."""

    @abstractmethod
    def stop(self) -> None:
        """End it and its children."""

    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._since

    def cause(self) -> str:
        """Say in one line what its log says of its end."""
        if self.log is None or not self.log.exists():
            return ""  # it has told the user itself
        with open(self.log, "rb") as stream:
            stream.seek(max(self._began, self.log.stat().st_size - TAIL))
            return cause_in(stream.read().decode("utf-8", "replace").splitlines())

    def tell_epochs(self) -> None:
        """Tell the user of epochs that ended since this was last asked."""
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


class Local(Running):
    """A command that runs on this machine."""

    def __init__(
        self, step: Step, command: Sequence[str], log: Path | None, further: Mapping[str, str]
    ) -> None:
        super().__init__(step, log)
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

    def poll(self) -> bool:
        """Tell whether it ended; until then, tell the user of epochs that did."""
        ended = self._process.poll() is not None
        self.tell_epochs()
        return ended

    def wait(self) -> int:
        """Return the status it ended with."""
        while not self.poll():
            try:
                self._process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        return self._process.returncode

    def stop(self) -> None:
        """Ask it and its children to end; end them if they do not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(PATIENCE)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def cause_in(lines: Sequence[str]) -> str:
    """Find why a command ended: what it says itself, an exception, a kill, else its last line.

    A launcher's own exception only says that a worker failed; the first one says why.
    """
    for pattern in _TOLD:
        for line in lines:
            if found := pattern.search(line):
                return found[1].strip()
    raised = [line for line in _exceptions(lines) if not any(name in line for name in _LAUNCHER)]
    if raised:
        return raised[0]
    if any("(SIGKILL) received" in line for line in lines):
        return KILLED
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _exceptions(lines: Sequence[str]) -> Iterator[str]:
    """Yield the last line of every traceback; workers' lines may have a prefix."""
    prefix: str | None = None
    for line in lines:
        if _TRACEBACK in line:
            prefix = line.partition(_TRACEBACK)[0]
        elif prefix is not None and line.startswith(prefix):
            rest = line[len(prefix) :]
            if rest.strip() and not rest.startswith(" "):
                yield rest.strip()
                prefix = None
