r"""Tab-separated tables as corpora ship them: no quoting, no missing-value words, no guessing.

A double quote is a character, 'NA' and 'null' are words; `\r\n` ends and a byte-order mark are
taken off. A line that does not fit is returned with its problem, so that the reader can list it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One line of a table."""

    line: int  # counted from 1, header included
    fields: list[str]
    problem: str  # empty for a good row


def read_rows(path: Path, columns: int) -> Iterator[Row]:
    """Yield the rows of a table without header; blank lines are no rows."""
    with open(path, "rb") as stream:
        yield from _rows(_lines(stream), columns)


def read_named_rows(path: Path, names: Iterable[str]) -> tuple[list[int], Iterator[Row]]:
    """Read a table with header: the position of each name asked for, and the rows below it."""
    rows = read_headed_rows(path)
    header = next(rows, Row(1, [], "the file is empty"))
    if header.problem:
        raise UserError(f"{path}:{header.line}: expected a header line, but {header.problem}")
    titles = [title.strip() for title in header.fields]
    wanted = list(names)
    lacking = [name for name in wanted if name not in titles]
    if lacking:
        raise UserError(
            f"{path}:{header.line}: the header has no column {', '.join(lacking)}; "
            f"it has: {', '.join(titles)}. Is this the right file?"
        )
    for name in wanted:
        places = [str(place) for place, title in enumerate(titles, start=1) if title == name]
        if len(places) > 1:
            raise UserError(
                f"{path}:{header.line}: expected one column {name}, but columns "
                f"{' and '.join(places)} have that name. Rename the one that is not meant."
            )
    return [titles.index(name) for name in wanted], rows


def read_headed_rows(path: Path) -> Iterator[Row]:
    """Yield the header, then the rows held to its number of columns."""
    with open(path, "rb") as stream:
        lines = _lines(stream)
        for first in lines:
            header = next(_rows([first], 0))
            yield header
            yield from _rows(lines, len(header.fields))


def _lines(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number the lines; yield those that are not blank, without byte-order mark and line end."""
    for number, raw in enumerate(stream, start=1):
        if number == 1:
            raw = raw.removeprefix(BYTE_ORDER_MARK)
        raw = raw.removesuffix(b"\n").rstrip(b"\r")
        if raw.strip():
            yield number, raw


def _rows(lines: Iterable[tuple[int, bytes]], columns: int) -> Iterator[Row]:
    """Split lines; `columns` 0 means any number."""
    for number, raw in lines:
        try:
            fields = raw.decode("utf-8").split("\t")
        except UnicodeDecodeError:
            yield Row(number, [], "not UTF-8")
            continue
        wrong = columns and len(fields) != columns
        problem = f"wrong number of columns: {len(fields)} instead of {columns}" if wrong else ""
        yield Row(number, fields, problem)
