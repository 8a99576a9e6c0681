"""Packing a folder with ESPnet's own writer, and unpacking without trusting what is in the file."""

import contextlib
import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from espnet_otreg.errors import UserError
from espnet_otreg.hub.facts import CONFIG, MODEL, WEIGHTS
from espnet_otreg.models.bases import file_hash

SUFFIXES = (".zip", ".tgz", ".tar.gz", ".tar")
META = "meta.yaml"
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError),
    RuntimeError,  # a zip file with a password
)


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
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".packing-") as beside:
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
    """Unpack plain files; a member that would land elsewhere, and a link, is refused."""
    try:
        for name, content in _members(archive):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, open(target, "xb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
    except FileExistsError as error:
        raise UserError(f"{archive} refused: it holds {error.filename} twice") from error
    except DAMAGE as error:
        raise UserError(
            f"{archive} is damaged or was cut short ({error}): fetch it again"
        ) from error
    if not (folder / META).is_file():
        raise UserError(f"{archive} holds no {META}: it was not made by ESPnet's or our pack")


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of every file; the names are checked before anything is written."""
    if suffix_of(archive) == ".zip":
        with zipfile.ZipFile(archive) as stream:
            entries = [entry for entry in stream.infolist() if not entry.is_dir()]
            kinds = [stat.S_IFMT(entry.external_attr >> 16) for entry in entries]
            plain = [kind in (0, stat.S_IFREG) for kind in kinds]
            _check(archive, [entry.filename for entry in entries], plain)
            for entry in entries:
                yield entry.filename, stream.open(entry)
        return
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if not member.isdir()]
        _check(archive, [m.name for m in members], [m.isfile() for m in members])
        for member in members:
            content = tar.extractfile(member)
            assert content is not None  # a regular file, checked above
            yield member.name, content


def _check(archive: Path, names: Sequence[str], plain: Sequence[bool]) -> None:
    for name, is_plain in zip(names, plain, strict=True):
        path = PurePosixPath(name)
        odd = not path.parts or "\\" in name or ":" in path.parts[0]  # as Windows reads names
        if odd or path.is_absolute() or ".." in path.parts:
            raise UserError(f"{archive} refused: member {name!r} points outside the archive")
        if not is_plain:
            raise UserError(f"{archive} refused: member {name!r} is a link or a device")
