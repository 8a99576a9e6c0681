"""Fetching one file over HTTP: streamed, resumed by Range, and never of two versions.

A file grows in `<name>.partial` and gets its name when all of it is there. Beside it,
`<name>.partial.version` holds what the server said of the version that was begun: only more of the
same is appended.
"""

import os
import re
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json
from espnet_otreg.progress import progress

_BLOCK = 1 << 20
RESUME = "What has come is kept; the same command goes on from there."


class Version(NamedTuple):
    """What a server says of a file, to tell it from a later one of the same name."""

    etag: str  # empty if it does not say
    modified: str
    total: int | None  # bytes

    def condition(self) -> dict[str, str]:
        """Return the header that asks for the rest of this version or else for a whole new one."""
        strong = "" if self.etag.startswith("W/") else self.etag  # weak ones are not allowed there
        mark = strong or self.modified
        return {"If-Range": mark} if mark else {}

    def contradicts(self, other: "Version") -> bool:
        """Whether both say something and not the same."""
        return any(a and b and a != b for a, b in zip(self, other, strict=True))


def fetch(url: str, path: Path) -> None:
    """Stream a file; what an earlier try left of it is not fetched again."""
    partial = path.with_name(f"{path.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not _go_on(url, partial):  # the server has another version by now
            partial.unlink(missing_ok=True)
            if not _go_on(url, partial):
                raise HTTPException("the server sends a part where the whole was asked for")
    except urllib.error.HTTPError as error:
        raise UserError(
            f"{url} cannot be fetched: the server says {error.code} {error.reason}. If the "
            "file has moved, name its new folder with --server, or fetch it by hand."
        ) from None
    except (OSError, HTTPException) as error:
        raise UserError(f"{url} cannot be fetched ({error}). {RESUME}") from error
    os.replace(partial, path)
    _version_file(partial).unlink(missing_ok=True)


def _go_on(url: str, partial: Path) -> bool:
    """Fetch what is lacking; False if what there is cannot be a part of what the server has."""
    begun = _begun(partial)
    have = partial.stat().st_size if begun else 0
    asked = {"Range": f"bytes={have}-", **begun.condition()} if begun and have else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=asked), timeout=60
        ) as response:
            if response.status == 206:
                start, total = _range(response.headers)
                if begun is None or start != have:
                    return False
                if _version(response.headers, total).contradicts(begun):
                    return False
                total = total or begun.total
            else:  # from the beginning: nothing was asked for, or there is no more of that version
                have, total = 0, _length(url, response)
                partial.unlink(missing_ok=True)  # first: it must never lie beside another's version
                write_json(_version_file(partial), _version(response.headers, total)._asdict())
            size = _copy(response, partial, have, total)
    except urllib.error.HTTPError as error:
        if error.code != 416 or begun is None:
            raise
        _, total = _range(error.headers)  # nothing is left to send, or it is of another version
        return total == have and not _version(error.headers, total).contradicts(begun)
    if total is not None and size != total:
        raise UserError(f"{url} was cut short: {size} of {total} bytes have come. {RESUME}")
    return True


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.version")


def _begun(partial: Path) -> Version | None:
    """Return of which version there is a part; None if there is none, or nobody knows."""
    try:
        return Version(**read_json(_version_file(partial))) if partial.is_file() else None
    except (UserError, OSError, TypeError):
        return None


def _version(headers: Message, total: int | None) -> Version:
    return Version(headers.get("ETag", ""), headers.get("Last-Modified", ""), total)


def _range(headers: Message) -> tuple[int | None, int | None]:
    """Read where a part begins and how long the whole is, from Content-Range; None if unknown."""
    said = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", headers.get("Content-Range", "").strip()
    )
    start, total = said.groups() if said else (None, None)
    return int(start) if start else None, int(total) if total else None


def _length(url: str, response: HTTPResponse) -> int | None:
    """Return a whole file's length; None if its parts tell the last one, as in chunked encoding."""
    length = response.headers.get("Content-Length")
    if length is None and not response.chunked:
        raise UserError(
            f"{url} cannot be fetched: the server does not say how long it is (Content-Length), so "
            "that a connection that breaks would look like its end. Name another server's folder "
            "with --server, or fetch it by hand and compare its checksum."
        )
    return None if length is None else int(length)


def _copy(response: HTTPResponse, partial: Path, have: int, total: int | None) -> int:
    """Append a response to the file; return how long it is then."""
    fetching = progress(partial.stem, "B", total, initial=have, unit_scale=True)
    with open(partial, "ab" if have else "wb") as stream, fetching as bar:
        while block := response.read(_BLOCK):
            stream.write(block)
            bar.update(len(block))
        return stream.tell()
