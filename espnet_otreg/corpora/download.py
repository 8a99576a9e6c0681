"""Fetching corpora that have public links: resumed, checked, unpacked.

Archives are unpacked beside the corpus and moved into it when their last byte has been checked. A
mark then says that they need not be fetched again, as long as their folder is there.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora import fleurs, librispeech, mls
from espnet_otreg.corpora.fetch import fetch
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines

SERVERS = {
    "librispeech": "https://www.openslr.org/resources/12",
    "mls": "https://dl.fbaipublicfiles.com/mls",
    "fleurs": "https://huggingface.co/datasets/google/fleurs/resolve/main",
}
_COLLECTIVE = (
    "the Mozilla Data Collective, https://mozilladatacollective.com (an account is needed and the "
    "terms must be agreed to), by its pages or its Python client `datacollective`"
)
BY_HAND = {
    "covost2": "the audio is Common Voice 4 (2019-12-10): download each language's archive of "
    f"that release from {_COLLECTIVE}, and unpack it in ROOT: clips are found in "
    "ROOT/cv-corpus-4-2019-12-10/<language>/ and in "
    "ROOT/<archive>/cv-corpus-4-2019-12-10/<language>/. The split tables are "
    "covost_v2.<language>_<target>.tsv.tar.gz of https://github.com/facebookresearch/covost: "
    "unpack them into ROOT",
    "commonvoice": f"download each language's archive from {_COLLECTIVE}, and unpack it in ROOT: "
    "clips are found in ROOT/cv-corpus-<release>/<language>/ and in "
    "ROOT/<archive>/cv-corpus-<release>/<language>/",
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
    folder: str = ""  # under root, that an archive unpacks to; empty: it stays as it is


def sources(corpus: str, part: str, server: str) -> list[Source]:
    """List the files of a part: a LibriSpeech part's name, elsewhere a language."""
    if corpus == "librispeech" and librispeech.PARTS.get(part) == (part,):
        return [Source(f"{server}/{part}.tar.gz", f"{part}.tar.gz", f"LibriSpeech/{part}")]
    if corpus == "mls" and mls.has_language(part.removesuffix("_opus")):
        code = part.removesuffix("_opus")
        home = f"mls_{mls.FOLDERS[code]}{part.removeprefix(code)}"
        return [Source(f"{server}/{home}.tar.gz", f"{home}.tar.gz", home)]
    if corpus == "fleurs" and fleurs.has_language(part):
        home = f"data/{fleurs.full_code(part)}"
        names = [f"{home}/{split}.tsv" for split in fleurs.SPLITS]
        names += [f"{home}/audio/{split}.tar.gz" for split in fleurs.SPLITS]
        return [Source(f"{server}/{name}", name) for name in names]
    known = {
        "librispeech": " ".join(part for part, of in librispeech.PARTS.items() if of == (part,)),
        "mls": f"{' '.join(mls.FOLDERS)}, each also as <language>_opus, which is smaller",
        "fleurs": " ".join(fleurs.CODES.split()),
    }
    raise UserError(f"--parts: {corpus} has no part '{part}'; it has: {known[corpus]}")


def download(source: Source, root: Path) -> Path | None:
    """Fetch one file, and unpack it if it is an archive; return what says that this was done."""
    target, mark = root / source.target, root / MARKS / source.target
    if source.folder:
        if mark.is_file() and (root / source.folder).is_dir():
            return mark
    elif target.is_file():
        return target
    if not target.is_file():
        fetch(source.url, target)
    if source.folder:
        mark.unlink(missing_ok=True)  # of what has been removed since
        _check_sum(source.url, target)
        unpack_into(target, root)
        if not (root / source.folder).is_dir():
            raise UserError(
                f"{target} is unpacked and holds no {source.folder}: it is another archive. Look "
                f"what {source.url} is, and fetch the right one by hand."
            )
        write_lines(mark, [f"{source.url} {target.stat().st_size}"])
        target.unlink()
    return None


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
