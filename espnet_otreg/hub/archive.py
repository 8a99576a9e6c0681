"""Packing a folder with ESPnet's own writer, and unpacking without trusting what is in the file."""

import contextlib
import gzip
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.hub.facts import CONFIG, MODEL, WEIGHTS
from espnet_otreg.pretrained.bases import file_hash

SUFFIXES = (".zip", ".tgz", ".tar.gz", ".tar")
META = "meta.yaml"
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError),
    *(ValueError, OverflowError, struct.error),  # numbers and names that are none
    RuntimeError,  # a zip file with a password
)
MOST_MEMBERS = 20_000
RATIO = 100  # of unpacked to packed bytes
FREELY = 256 << 20  # bytes below which the ratio does not matter
LONGEST, LONGEST_PATH = 255, 1024  # bytes of a name, characters of a path
HEADER_BYTES = 1 << 20  # between two members of a tar file
LIST_BYTES = 4 << 20  # of a zip file's list of members: 200 for each


def suffix_of(path: Path) -> str:
    """Return the archive's kind by its name."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise UserError(f"{path} should end in one of {', '.join(SUFFIXES)}: the kind of archive")


def write_pack(folder: Path, output: Path) -> None:
    """Pack a folder's files, meta.yaml first; the archive is there whole or not at all."""
    from espnet2.main_funcs.pack_funcs import pack

    suffix = suffix_of(output)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    model = WEIGHTS if WEIGHTS in names else MODEL
    further = [name for name in names if name not in (CONFIG, model)]
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=output.parent, prefix=f".{output.stem}.", suffix=".tmp"
    ) as beside:
        made = Path(beside).resolve() / f"pack{suffix}"
        # pack() names members relative to the current folder, and lists them on stdout
        with contextlib.chdir(folder), contextlib.redirect_stdout(None):
            pack({"asr_model_file": model}, {"asr_train_config": CONFIG}, made, further)
        os.replace(made, output)


def unpack(archive: Path, cache: Path) -> Path:
    """Unpack into a folder of `cache` named after the content; a second call finds it there."""
    suffix_of(archive)
    folder = cache / file_hash(archive)[:16]
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=cache, prefix=".unpacking-"))
    try:
        unpack_into(archive, partial)
        os.replace(partial, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def unpack_into(archive: Path, folder: Path) -> None:
    """Unpack plain files; a member that would land elsewhere, a link, and a bomb are refused.

    What is declared is checked before anything is written, and counted again while it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        left = _check(archive, folder)
        for name, content in _contents(archive):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, open(target, "xb") as out:
                while block := content.read(1 << 20):
                    left -= len(block)
                    if left < 0:
                        raise UserError(f"{archive} refused: {name!r} holds more than it declares")
                    out.write(block)
    except UserError:
        raise
    except FileExistsError as error:
        raise UserError(f"{archive} refused: it holds {error.filename} twice") from error
    except DAMAGE as error:
        raise UserError(
            f"{archive} is damaged or was cut short ({error}): fetch it again"
        ) from error
    except OSError as error:  # a full disk, or a file where a folder is needed
        raise UserError(f"{archive} cannot be unpacked into {folder} ({error})") from error
    if not (folder / META).is_file():
        raise UserError(f"{archive} holds no {META}: it was not made by ESPnet's or our pack")


class Member(NamedTuple):
    """What an archive declares of a member."""

    name: str
    size: int
    plain: bool  # a file, neither link nor device


def _check(archive: Path, folder: Path) -> int:
    """Look through everything that is declared; return the bytes of all files."""
    packed, free = archive.stat().st_size, shutil.disk_usage(folder).free
    total = 0
    for number, member in enumerate(_declared(archive), start=1):
        if number > MOST_MEMBERS:
            raise UserError(f"{archive} refused: it holds more than {MOST_MEMBERS} members")
        if member is None:
            continue
        _check_name(archive, member)
        total += member.size
        if member.size < 0 or total > max(FREELY, RATIO * packed):
            raise UserError(
                f"{archive} refused: it has {packed} bytes and would unpack into {total} or more, "
                f"above {RATIO} times as much: no weights shrink like that"
            )
        if total > free:
            raise UserError(
                f"{archive} would unpack into {total} bytes or more, and {folder} has {free} free: "
                "make room, or give another cache_dir"
            )
    return total


def _check_name(archive: Path, member: Member) -> None:
    name = member.name
    path = PurePosixPath(name)
    odd = not path.parts or "\\" in name or ":" in path.parts[0]  # as Windows reads names
    if odd or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise UserError(f"{archive} refused: member {_short(name)} points outside the archive")
    if not member.plain:
        raise UserError(f"{archive} refused: member {_short(name)} is a link or a device")
    longest = max(len(part.encode(errors="replace")) for part in path.parts)
    if longest > LONGEST or len(name) > LONGEST_PATH:
        raise UserError(
            f"{archive} refused: member {_short(name)} has a name of {len(name)} characters, and "
            f"files have {LONGEST} at most, with their folders {LONGEST_PATH}"
        )


def _declared(archive: Path) -> Iterator[Member | None]:
    """Yield what is declared, member by member; None for a folder."""
    if suffix_of(archive) == ".zip":
        with _open_zip(archive) as stream:
            for entry in stream.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                plain = kind in (0, stat.S_IFREG)
                yield None if entry.is_dir() else Member(entry.filename, entry.file_size, plain)
        return
    for _, member in _open_tar(archive):
        yield None if member.isdir() else Member(member.name, member.size, member.isfile())


def _contents(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of every file."""
    if suffix_of(archive) == ".zip":
        with _open_zip(archive) as stream:
            for entry in stream.infolist():
                if not entry.is_dir():
                    yield entry.filename, stream.open(entry)
        return
    for tar, member in _open_tar(archive):
        if not member.isdir():
            content = tar.extractfile(member)
            assert content is not None  # a regular file, checked before
            yield member.name, content


def _open_zip(archive: Path) -> zipfile.ZipFile:
    """Open a zip file whose list of members, which is read at once, is of a sound size."""
    with open(archive, "rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]  # as ZipFile itself reads it
    if end is not None and end[5] > LIST_BYTES:  # size of the central directory
        raise UserError(f"{archive} refused: it holds more than {MOST_MEMBERS} members")
    return zipfile.ZipFile(archive)


def _open_tar(archive: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Go through a tar file once, member by member.

    Headers of any length are read at once, so what may be read between two members is limited.
    """
    with open(archive, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    with gzip.open(archive) if packed else open(archive, "rb") as stream:
        metered = _Metered(stream, archive)
        with tarfile.open(fileobj=metered, mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                yield tar, member
                metered.left = HEADER_BYTES + max(member.size, 0)


class _Metered:
    """A stream of which only so much may be read."""

    def __init__(self, stream: Any, archive: Path) -> None:
        self.stream, self.archive, self.left = stream, archive, HEADER_BYTES

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise UserError(f"{self.archive} refused: a header in it has no end")
        return block


def _short(name: str) -> str:
    return repr(name) if len(name) < 100 else f"{name[:100]!r}..."
