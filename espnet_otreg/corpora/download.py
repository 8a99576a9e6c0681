"""Fetching corpora that have public links: streamed, resumed by HTTP Range, checked, unpacked.

A file grows in `<name>.partial` and gets its name when all of it is there. Archives are unpacked
beside the corpus and moved into it when their last byte has been checked.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora import fleurs, librispeech, mls
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines
from espnet_otreg.progress import progress

SERVERS = {
    "librispeech": "https://www.openslr.org/resources/12",
    "mls": "https://dl.fbaipublicfiles.com/mls",
    "fleurs": "https://huggingface.co/datasets/google/fleurs/resolve/main",
}
BY_HAND = {
    "covost2": "the audio is Common Voice 4 (2019-12-10): download each language's archive of "
    "that release from https://commonvoice.mozilla.org/datasets (terms must be agreed to) and "
    "unpack it to ROOT/cv-corpus-4-2019-12-10/<language>/. The split tables are "
    "covost_v2.<language>_<target>.tsv.tar.gz of https://github.com/facebookresearch/covost: "
    "unpack them into ROOT",
    "commonvoice": "download each language's archive from https://commonvoice.mozilla.org/datasets "
    "(terms must be agreed to) and unpack it to ROOT/cv-corpus-<release>/<language>/",
    "aishell": "download data_aishell.tgz from https://www.openslr.org/33, unpack it into ROOT "
    'and, in ROOT/data_aishell/wav, run: for f in *.tar.gz; do tar -xzf "$f"; done',
}
MARKS = ".downloaded"  # folder of the archives that are unpacked
_BLOCK = 1 << 20
_SUMS = "md5sum.txt"  # beside LibriSpeech's archives


class Source(NamedTuple):
    """One file to fetch."""

    url: str
    target: str  # under root
    archive: bool  # to be unpacked into root


def sources(corpus: str, part: str, server: str) -> list[Source]:
    """List the files of a part: a LibriSpeech part's name, elsewhere a language."""
    if corpus == "librispeech" and librispeech.PARTS.get(part) == (part,):
        return [Source(f"{server}/{part}.tar.gz", f"{part}.tar.gz", True)]
    if corpus == "mls" and mls.has_language(part.removesuffix("_opus")):
        code = part.removesuffix("_opus")
        name = f"mls_{mls.FOLDERS[code]}{part.removeprefix(code)}.tar.gz"
        return [Source(f"{server}/{name}", name, True)]
    if corpus == "fleurs" and fleurs.has_language(part):
        home = f"data/{fleurs.full_code(part)}"
        names = [f"{home}/{split}.tsv" for split in fleurs.SPLITS]
        names += [f"{home}/audio/{split}.tar.gz" for split in fleurs.SPLITS]
        return [Source(f"{server}/{name}", name, False) for name in names]
    known = {
        "librispeech": " ".join(part for part, of in librispeech.PARTS.items() if of == (part,)),
        "mls": f"{' '.join(mls.FOLDERS)}, each also as <language>_opus, which is smaller",
        "fleurs": " ".join(fleurs.CODES.split()),
    }
    raise UserError(f"--parts: {corpus} has no part '{part}'; it has: {known[corpus]}")


def download(source: Source, root: Path) -> bool:
    """Fetch one file, and unpack it if it is an archive; False if that was done before."""
    target, mark = root / source.target, root / MARKS / source.target
    if mark.is_file() or (target.is_file() and not source.archive):
        return False
    if not target.is_file():
        fetch(source.url, target)
    if source.archive:
        _check_sum(source.url, target)
        unpack_into(target, root)
        write_lines(mark, [f"{source.url} {target.stat().st_size}"])
        target.unlink()
    return True


def fetch(url: str, path: Path) -> None:
    """Stream a file; what an earlier try left of it is not fetched again."""
    partial = path.with_name(f"{path.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            if response.status != 206:  # the server does not know Range: from the beginning
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            size = _copy(response, partial, have, total)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send, or what we have is of another file
            size = total = have
            if error.headers.get("Content-Range", "").rpartition("/")[2] != str(have):
                partial.unlink()
                raise UserError(f"{url} has changed since {partial} was begun: run again") from None
        else:
            raise UserError(
                f"{url} cannot be fetched: the server says {error.code} {error.reason}. If the "
                "file has moved, name its new folder with --server, or fetch it by hand."
            ) from None
    except (OSError, HTTPException) as error:
        raise UserError(
            f"{url} cannot be fetched ({error}). What has come is kept in {partial}; the same "
            "command goes on from there."
        ) from error
    if total is not None and size != total:
        raise UserError(
            f"{url} was cut short: {size} of {total} bytes have come. They are kept; the same "
            "command goes on from there."
        )
    os.replace(partial, path)


def _copy(response: HTTPResponse, partial: Path, have: int, total: int | None) -> int:
    """Append a response to the file; return how long it is then."""
    fetching = progress(partial.stem, "B", total, initial=have, unit_scale=True)
    with open(partial, "ab" if have else "wb") as stream, fetching as bar:
        while block := response.read(_BLOCK):
            stream.write(block)
            bar.update(len(block))
        return stream.tell()


def _check_sum(url: str, path: Path) -> None:
    """Compare with the MD5 that the server publishes beside the archive, if it does."""
    try:
        with urllib.request.urlopen(f"{url.rpartition('/')[0]}/{_SUMS}", timeout=60) as response:
            lines = response.read().decode("utf-8", "replace").splitlines()
    except (OSError, HTTPException):
        return  # not published; the archive has a checksum of its own, which unpacking reads
    published = {name.lstrip("*"): digest for digest, _, name in (s.partition("  ") for s in lines)}
    expected = published.get(path.name)
    with open(path, "rb") as stream:
        actual = hashlib.file_digest(stream, "md5").hexdigest()
    if expected not in (None, actual):
        path.unlink()
        raise UserError(
            f"{path} has MD5 {actual} and should have {expected}: it came damaged and has been "
            "removed. Run again."
        )


def unpack_into(archive: Path, root: Path) -> None:
    """Unpack beside the corpus, then move it in; members that point outside are refused."""
    staging = root / f".unpacking-{archive.name}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with gzip.open(archive, "rb") as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                tar.extractall(staging, filter="data")
            while stream.read(_BLOCK):  # the checksum stands at the very end
                pass
    except tarfile.FilterError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise UserError(f"{archive} refused: {error}. Do not use it.") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise UserError(
            f"{archive} is damaged or was cut short ({error}). Remove it and run again."
        ) from error
    _move_into(staging, root)


def _move_into(source: Path, target: Path) -> None:
    """Move a tree over another: whole folders where the target has none of that name."""
    if source.is_dir() and target.is_dir():
        for child in sorted(source.iterdir()):
            _move_into(child, target / child.name)
        source.rmdir()
    else:
        os.replace(source, target)
