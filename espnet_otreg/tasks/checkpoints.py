"""A training's files on disk: written whole or not at all, the resume point last.

ESPnet writes `checkpoint.pth`, then the epoch's model, the links and the averages, each straight
into its place: a kill in between leaves a torso, or a resume point whose models are not there. Here
every file is written beside and moved into place, and the resume point is moved after all others.
The one before it stays as `checkpoint.previous.pth`, which costs its size on disk once more (a
third time while the next one is being written).
"""

import errno
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from espnet_otreg.errors import UserError

CHECKPOINT, PREVIOUS = "checkpoint.pth", "checkpoint.previous.pth"
PART = ".part"  # ending of what is being written; one process alone writes in a folder


class _Stream:
    """A file that remembers why a write failed: torch tells its own story of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, and note the failure."""
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Pass on."""
        self.file.flush()


def _sync(path: Path) -> None:
    """Make a file's content, or a folder's names, outlast a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put(part: Path, place: Path) -> None:
    os.replace(part, place)
    _sync(place.parent)


def save_beside(save: Any, content: Any, path: Path) -> Path:
    """Save `content` in a file beside `path`; on failure nothing is left of it."""
    part = path.with_name(path.name + PART)
    stream = None
    try:
        with open(part, "wb") as file:
            stream = _Stream(file)
            save(content, stream)
        _sync(part)
    except BaseException as error:
        part.unlink(missing_ok=True)
        cause = stream.error if stream is not None and stream.error is not None else error
        if isinstance(cause, OSError):
            raise UserError(cannot_write(path, cause)) from error
        raise
    return part


def cannot_write(path: Path | str, error: OSError) -> str:
    """One line on a write that failed."""
    remedy = "look at the disk"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "free some space; the same command then goes on after the last finished epoch"
    return f"{path} cannot be written: {error.strerror}: {remedy}"


@contextmanager
def saving_whole(folder: Path) -> Iterator[None]:
    """Let `torch.save` write files of this folder whole, and hold `checkpoint.pth` back.

    ESPnet's trainer saves in the middle of one long function, so its call is what can be reached.
    """
    save = torch.save

    def save_whole(content: Any, file: Any, *args: Any, **options: Any) -> None:
        path = Path(file) if isinstance(file, str | os.PathLike) else None
        if path is None or path.parent != folder:
            save(content, file, *args, **options)
            return
        part = save_beside(lambda what, to: save(what, to, *args, **options), content, path)
        if path.name != CHECKPOINT:
            _put(part, path)

    torch.save = save_whole  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.save = save


def move_resume_point(folder: Path, keep_previous: bool) -> bool:
    """Put the resume point that was held back in its place; tell whether there was one."""
    place, previous = folder / CHECKPOINT, folder / PREVIOUS
    part = folder / (CHECKPOINT + PART)
    if not part.exists():
        return False
    if keep_previous and place.exists():
        second = folder / (PREVIOUS + PART)
        second.unlink(missing_ok=True)
        try:
            os.link(place, second)
        except OSError:  # a file system without hard links
            shutil.copyfile(place, second)
        _put(second, previous)
        second.unlink(missing_ok=True)  # a kill can leave two links to one file: no move then
    elif not keep_previous:
        previous.unlink(missing_ok=True)  # of a training that this one replaces
    _put(part, place)
    return True


def remove_parts(folder: Path) -> None:
    """Remove what a killed run was writing, or a resume point that is not to count."""
    for part in folder.glob(f"*.pth{PART}"):
        part.unlink(missing_ok=True)


def unreadable(path: Path) -> str | None:
    """Say what is wrong with a file of `torch.save`; None where every byte can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        return f"{error}, {path.stat().st_size} bytes"
    return None if broken is None else f"{broken} in it is damaged"


def find_resume_point(folder: Path) -> Path:
    """Return `checkpoint.pth`, or the one before it where that cannot be read, and say so."""
    place, previous = folder / CHECKPOINT, folder / PREVIOUS
    problem = unreadable(place)
    if problem is None:
        return place
    if previous.exists() and unreadable(previous) is None:
        logging.warning(
            "%s is not a whole checkpoint (%s): going on from %s, the one before it",
            *(place, problem, previous.name),
        )
        return previous
    raise UserError(
        f"{place} is not a whole checkpoint ({problem}), and there is no whole {PREVIOUS}: remove "
        "it, and the same command trains from the first epoch"
    )
