"""Unpacking the data of a wheel or a Debian package: files alone, no code, and nothing is run.

Which bytes these are is known by their hash before anything is unpacked; names that point outside
are refused all the same.
"""

import logging
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from espnet_otreg.errors import UserError

CODE = (".py", ".pyc", ".so", ".dll", ".dylib", ".pyd", ".c", ".h")
LICENCES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "copyright", "GEMMA_TERMS")
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError),
    *(ValueError, UnicodeError),
)


def unpack(path: Path, folder: Path) -> None:
    """Unpack into a folder, which may hold other packages' files already."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if path.suffix == ".deb":
            _unpack_deb(path, folder)
        else:
            _unpack_zip(path, folder)
    except tarfile.FilterError as error:
        raise UserError(f"{path} refused: {error}; do not use it") from error
    except _DAMAGE as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} is damaged or was cut short ({error}): remove it, it will be fetched again"
        ) from error


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and not member.filename.endswith(CODE):
                _inside(path, member.filename)
                archive.extract(member, folder)


def _unpack_deb(path: Path, folder: Path) -> None:
    """Unpack the data part; links are passed over, and told."""
    links = []
    with open(path, "rb") as stream:
        _seek_data(path, stream)
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                if member.isfile():
                    tar.extract(member, folder, set_attrs=False, filter="data")
                elif not member.isdir():
                    links.append(member.name)
    if links:
        logging.info("%s: %d links are left out, first %s", path.name, len(links), links[0])


def _seek_data(path: Path, stream: BinaryIO) -> None:
    """Go to where the archive of files begins; around it is an `ar` archive.

    Of a member's 60 bytes of header, 16 are its name and 10, from byte 48 on, its size in decimal.
    """
    if stream.read(8) != b"!<arch>\n":
        raise ValueError("no Debian package")
    while len(header := stream.read(60)) == 60:
        if header.startswith(b"data.tar"):
            return
        size = int(header[48:58])
        stream.seek(size + size % 2, 1)
    raise ValueError("it ends before data.tar")


def _inside(path: Path, name: str) -> None:
    if name.startswith(("/", "\\")) or ".." in name.split("/") or "\\" in name:
        raise UserError(f"{path} refused: member {name!r} points outside; do not use it")


def one_file(folder: Path, pattern: str) -> Path:
    """Find what a package should hold once, wherever in it."""
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        raise UserError(
            f"the packages should hold {pattern} once and hold it {len(found)} times: they are not "
            "those of the table"
        )
    return found[0]


def licence_files(folder: Path) -> dict[str, Path]:
    """Find the texts that go on with what is made: new name to file, named after the package."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name.startswith(LICENCES):
            package = path.relative_to(folder).parts[0].removesuffix(".dist-info")
            found[f"{path.name}.{package}"] = path
    return found
