"""Watching what Python, and what native code, does while a body runs."""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")
_IN_OPEN, _IN_ISDIR = 0x20, 0x40000000
_seen: list[tuple[str, Any]] | None = None  # None: nobody is watching


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open" and isinstance(args[0], bool | float):
        _seen.append((event, repr(args[0])))  # no name, and no number that Python gave
    elif event == "open" and isinstance(args[0], str | bytes):
        _seen.append((event, os.path.abspath(os.fsdecode(args[0]))))
    elif event == "import":
        _seen.append((event, args[0].split(".")[0]))
    elif event == "pickle.find_class":
        _seen.append((event, f"{args[0]}.{args[1]}"))
    elif event in RUNS:
        _seen.append((event, repr(args)))


@contextmanager
def watched() -> Iterator[list[tuple[str, Any]]]:
    """List files opened, packages imported, objects unpickled, and processes started."""
    global _seen
    if not hasattr(sys, "_otreg_watched"):  # a hook stays for good: one for the whole process
        sys.addaudithook(_hook)
        sys._otreg_watched = True  # type: ignore[attr-defined]
    found: list[tuple[str, Any]] = []
    _seen = found
    try:
        yield found
    finally:
        _seen = None


class Guarded:
    """A folder whose files' openings are told by Linux itself, native readers' too."""

    def __init__(self, folder: Path) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.stream = self.libc.inotify_init1(os.O_NONBLOCK)
        if self.stream < 0 or self.libc.inotify_add_watch(
            self.stream, os.fsencode(folder), _IN_OPEN
        ) < 0:  # fmt: skip
            raise OSError(ctypes.get_errno(), f"inotify cannot watch {folder}")

    def opened(self) -> list[str]:
        """Return the names of the files that were opened since the last call."""
        names: list[str] = []
        try:
            content = os.read(self.stream, 1 << 16)
        except BlockingIOError:
            return names
        while content:
            _, mask, _, length = struct.unpack_from("iIII", content)
            name = content[16 : 16 + length].rstrip(b"\0").decode()
            if not mask & _IN_ISDIR:
                names.append(name)
            content = content[16 + length :]
        return names

    def close(self) -> None:
        """Stop."""
        os.close(self.stream)
