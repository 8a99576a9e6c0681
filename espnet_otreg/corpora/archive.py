"""Unpacking a tar.gz of recordings once: streamed, resumable, and trusting nothing in it."""

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines, writing
from espnet_otreg.progress import progress

MARK = ".unpacked_from"


def unpack(archive: Path, folder: Path) -> Path:
    """Put the archive's wav files, without their folders, into `folder`; return it.

    The work happens in `<folder>.partial`, which is renamed when the last byte has been checked. A
    second call is a no-op unless the archive has changed.
    """
    stat = archive.stat()
    stamp = f"{archive.name} {stat.st_size} {stat.st_mtime_ns}"
    if stamp_of(folder) == stamp:
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    if partial.is_dir() and stamp_of(partial) != stamp:
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_lines(partial / MARK, [stamp])
    try:
        with gzip.open(archive, "rb") as stream:
            _copy_members(archive, stream, partial)  # type: ignore[arg-type]
            while stream.read(1 << 20):  # the checksum stands at the very end
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{archive} is damaged or was cut short ({error}); its size is {stat.st_size} bytes. "
            "Remove it, and its mark in .downloaded if there is one, for what is there is not "
            "fetched again; then fetch it again."
        ) from error
    if folder.is_dir():  # unpacked from an archive that has been replaced since
        shutil.rmtree(folder)
    os.replace(partial, folder)
    return folder


def stamp_of(folder: Path) -> str:
    """Return which archive a folder came from, empty if it is not ours or not there."""
    mark = folder / MARK
    return mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""


def _copy_members(archive: Path, stream: IO[bytes], folder: Path) -> None:
    """Write every recording; one already there with the right size is from an earlier try."""
    seen: dict[str, str] = {}
    unpacking = f"unpack {archive.parent.parent.name}/{archive.name}"
    with tarfile.open(fileobj=stream, mode="r|") as tar, progress(unpacking, "clip") as bar:
        for member in tar:
            name = _safe_name(archive, member)
            if not name:
                continue
            if seen.setdefault(name, member.name) != member.name:
                raise UserError(
                    f"{archive} holds {name} twice: {seen[name]} and {member.name}. "
                    "Unpack it by hand and choose."
                )
            path = folder / name
            bar.update()
            if path.is_file() and path.stat().st_size == member.size:
                continue
            content = tar.extractfile(member)
            assert content is not None  # a regular file, checked by _safe_name
            with writing(path, "wb") as out:
                shutil.copyfileobj(content, out, 1 << 20)


def _safe_name(archive: Path, member: tarfile.TarInfo) -> str:
    """Return the plain file name of a recording, empty for what is passed over."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive} refused: member {member.name!r} points outside the archive.")
    if member.isdir():
        return ""
    if not member.isfile():
        raise UserError(f"{archive} refused: member {member.name!r} is a link or a device.")
    hidden = path.name.startswith(".")  # such as the ._x.wav that macOS adds
    return "" if hidden or path.suffix.lower() != ".wav" else path.name
