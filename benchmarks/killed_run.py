"""A recipe's run at the smallest size that can be watched, and killed with all its processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "covost2_otreg"
SMALL = [
    *("--mini_size", "smoke", "--nbpe", "90", "--seeds", "1"),
    *("--nj", "2", "--inference_nj", "1", "--train_nj", "1", "--pictures", "1"),
]
LITTLE = "--max_epoch 2 --batch_size 8"  # two epochs: one to go on from
OPTIONS = {
    "run.sh": ["--asr_args", f"{LITTLE} --optim_conf lr=0.0001"],
    "run_slm.sh": [
        *("--asr_args", LITTLE, "--inference_args", "--max_new_tokens 9"),
        *("--frames_per_second", "60"),
    ],
    "run_transfer.sh": [
        *("--asr_config", "conf/transfer/mini/ctc.yaml conf/transfer/mini/unbalanced.yaml"),
        *("--names", "CTC;unbalanced", "--frames_per_second", "30", "--allow_missing", "true"),
        *("--asr_args", f"{LITTLE} --postencoder_conf text_size=32"),
    ],
}
CORPORA = ("COVOST2", "FLEURS", "MLS", "LIBRISPEECH", "COMMONVOICE", "AISHELL")
STAGE = re.compile(r"^[\d:]+ (stage +\d+: (?:training in|[\w:.+-]+, to) (.+?)) \(", re.MULTILINE)


class Kill(NamedTuple):
    """When to kill: in a step of the reference, by its number; -1 is before the first."""

    step: int
    after: float  # seconds from its start; of no account to an aimed one
    writes: int = 0  # of an aimed one: how many new files of checkpoints to wait for


class Begun(NamedTuple):
    """A step that a run began."""

    name: str  # the engine's line, less time, reason and folder
    out: Path
    at: float  # seconds from the run's start


class Run:
    """A recipe's script, started as a user starts it."""

    def __init__(self, script: str, recipe: Path) -> None:
        self.recipe, self.since = recipe, time.monotonic()
        self.begun: list[Begun] = []
        self._home, self._text = recipe.parents[1], ""
        self._log = self._home / "log"
        self._found: set[int] = set()  # its processes, a moment ago
        kept = {name: value for name, value in os.environ.items() if name not in CORPORA}
        temporary = self._home / "tmp"
        temporary.mkdir(exist_ok=True)
        with open(self._log, "wb") as stream:
            self._process = subprocess.Popen(
                [f"./{script}", *SMALL, *OPTIONS[script]],
                cwd=recipe,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                env={
                    **kept,
                    "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
                    "PYTHONPATH": str(ROOT),
                    "ENCODER_ARGS": LITTLE,
                    "TMPDIR": str(temporary),
                },
            )
        self._read = open(self._log, encoding="utf-8", errors="replace")  # noqa: SIM115

    def end(self) -> int:
        """Wait for its end."""
        while self._process.poll() is None:
            self._look()
            time.sleep(0.02)
        self._look()
        return self._process.returncode

    def until(self, kill: Kill, order: dict[str, int]) -> str | None:
        """Wait for a kill's moment and say what was running; None if the end came before."""
        known: dict[Path, set[tuple[str, int]]] = {}
        writes, counted = 0, 0.0
        while self._process.poll() is None:
            self._look()
            now = time.monotonic() - self.since
            step = self.begun[-1] if self.begun else Begun("before the first step", Path(), 0.0)
            place = order.get(step.name, -1)
            if kill.writes and place >= kill.step and trains(step):
                if now - counted > 0.3:  # to be quick when the moment comes
                    self._found, counted = processes(self._home, self._process.pid), now
                files = _checkpoints(self.recipe / step.out)
                new = files - known.setdefault(step.out, files)
                known[step.out] |= files
                writes += len(new)
                if writes >= kill.writes:
                    return f"{step.name} [{' '.join(sorted(name for name, *_ in new))}]"
            elif not kill.writes and (
                place > kill.step or (place == kill.step and now >= step.at + kill.after)
            ):
                return step.name
            time.sleep(0.001 if kill.writes else 0.01)
        return None

    def kill(self) -> None:
        """End every process of it, at once and without warning."""
        found = self._found or processes(self._home, self._process.pid)
        while found:
            for number in found:
                try:
                    os.kill(number, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            found = processes(self._home, self._process.pid)
        self._process.wait()
        self._read.close()

    def last_words(self) -> str:
        """Return the end of what it said."""
        return self._log.read_text("utf-8", "replace")[-2000:]

    def _look(self) -> None:
        """Read which steps it has begun."""
        lines = (self._text + self._read.read()).splitlines(keepends=True)
        self._text = lines.pop() if lines and not lines[-1].endswith("\n") else ""
        for line in lines:
            if found := STAGE.match(line):
                name = found[1].replace(f"{self._home}/", "")
                self.begun.append(Begun(name, Path(found[2]), time.monotonic() - self.since))


def trains(step: Begun) -> bool:
    """Tell whether a step is a training."""
    return ": training in " in step.name


def _checkpoints(folder: Path) -> set[tuple[str, int]]:
    """Tell the files of models: one is new when it is begun, and again when it gets its name."""
    found = set()
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if ".pth" in entry.name:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # moved meanwhile
                continue
            found.add((entry.name, status.st_ino))
    return found


def copy_recipe(home: Path) -> Path:
    """Copy the recipes' files to an empty folder; return the recipe's."""
    shutil.rmtree(home, ignore_errors=True)
    made = shutil.ignore_patterns("data", "dump", "exp", "downloads")
    shutil.copytree(ROOT / "egs2", home / "egs2", symlinks=True, ignore=made)
    return home / "egs2" / RECIPE


def processes(home: Path, root: int = 0) -> set[int]:
    """Find the processes that work below a folder, and the descendants of one."""
    parents, found = {}, {root} if root else set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z":
                found.discard(int(path.name))
                continue
            parents[int(path.name)] = int(parent)
            if Path(os.readlink(path / "cwd")).is_relative_to(home):
                found.add(int(path.name))
        except OSError:  # ended meanwhile
            continue
    found &= parents.keys()
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found
