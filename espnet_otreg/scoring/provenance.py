"""Where numbers come from: code version, package versions, and the record of each training."""

import importlib.metadata
import platform
import shlex
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json

NOT_RECORDED = "not recorded"
UNKNOWN = "unknown"

_PACKAGES = ("espnet_otreg", "espnet", "torch", "jiwer", "numpy")
# Reports and their side files are made by the runs that they describe: they do not count as edits.
_NOT_CODE = (":(top)", ":(top,exclude)*.md", ":(top,exclude)*results.json")


class Provenance(NamedTuple):
    """What a table was made with."""

    date: str
    git: str  # hash, with -dirty when code or configuration was edited
    versions: dict[str, str]
    command: str


class TrainingRun(NamedTuple):
    """The `run.json` that training leaves in an experiment folder; None is not recorded."""

    command: str | None = None
    wall_time_s: float | None = None
    device: str | None = None
    seed: int | None = None
    started: str | None = None
    finished: bool | None = None
    updates: int | None = None
    skipped_updates: int | None = None  # those of them without a finite gradient
    clipped_updates: int | None = None  # those with one that was too large, and made smaller

    @property
    def clipped(self) -> float | None:
        """Return the share in % of the updates that were clipped."""
        if not self.updates or self.clipped_updates is None:
            return None
        return 100 * self.clipped_updates / self.updates


def provenance(command: str) -> Provenance:
    """Describe this moment and this code."""
    return Provenance(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        git=git_version(Path(__file__).parent),
        versions=package_versions(),
        command=command,
    )


def git_version(folder: Path) -> str:
    """Name the commit that `folder` is at, or `unknown` outside a repository that tracks it."""
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not commit or not _git(folder, "ls-files"):  # installed below somebody's project
        return UNKNOWN
    edited = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *_NOT_CODE)
    return f"{commit}-dirty" if edited else commit


def package_versions() -> dict[str, str]:
    """Look versions up without importing the packages."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def read_training_run(folder: Path) -> TrainingRun:
    """Read `run.json`; a missing file or key is not an error, a broken file is."""
    path = folder / "run.json"
    if not path.is_file():
        return TrainingRun()
    content = read_json(path)
    run = TrainingRun(**{key: content.get(key) for key in TrainingRun._fields})
    for key, value in run._asdict().items():
        what, holds = _FACTS[key]
        if value is not None and not holds(value):
            raise UserError(f"{path}: {key} should be {what}, not {value!r}")
    return run


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e12


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _is_command(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(shlex.split(value))
    except ValueError:  # a quotation without end
        return False


_FACTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "command": ("a command line", _is_command),
    "wall_time_s": ("seconds", _is_time),
    "device": ("text", _is_text),
    "seed": ("a whole number", lambda value: type(value) is int),
    "started": ("text", _is_text),
    "finished": ("true or false", lambda value: type(value) is bool),
    "updates": ("a count", _is_count),
    "skipped_updates": ("a count", _is_count),
    "clipped_updates": ("a count", _is_count),
}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
