"""The rows of a table, one at a time: Parquet, Arrow, JSON lines, CSV, TSV and lhotse's cuts.

A row that cannot be read is returned with its problem; a file that cannot be read any further is an
error. Of Parquet a few rows are in memory at a time, whatever the size of its row groups.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from espnet_otreg.corpora.tsv import read_headed_rows
from espnet_otreg.errors import UserError, one_line

AT_ONCE = 32  # rows
BUFFER = 1 << 20  # bytes of a column read together
WHOLE = 0.01  # seconds that a cut may lack of its recording and still be all of it

Fields = dict[str, Any]


class TableRow(NamedTuple):
    """One row by the names of its columns."""

    where: str  # file:row
    fields: Fields
    problem: str = ""  # empty for a good row


class Table(NamedTuple):
    """A table that has been opened."""

    columns: list[str] | None  # None: each row has its own
    rows: Iterator[TableRow]


def open_table(path: Path, kind: str, wanted: Collection[str]) -> Table:
    """Open a table to read the wanted columns of it."""
    if kind == "parquet":
        return _parquet(path, wanted)
    if kind == "arrow":
        return _arrow(path, wanted)
    if kind == "csv":
        return _csv(path)
    if kind == "tsv":
        return _tsv(path)
    rows = _json_lines(path)
    return Table(None, map(_cut, rows) if kind == "cuts" else rows)


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Hand out pyarrow, and tell what goes wrong with it in a line."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            f"{path}: pyarrow is needed to read it: pip install 'espnet_otreg[tables]'"
        ) from error
    try:
        yield pyarrow
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path} asks for more memory than there is: it is damaged") from error
    # Arrow's own errors, and what its values raise when Python cannot hold them
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or was cut short ({one_line(error)[:200]}): fetch or write it again"
        ) from error


def _parquet(path: Path, wanted: Collection[str]) -> Table:
    def rows() -> Iterator[TableRow]:
        with _reading(path) as pyarrow, _opened(pyarrow, path) as table:
            chosen = [name for name in table.schema_arrow.names if name in wanted]
            batches = table.iter_batches(AT_ONCE, columns=chosen)
            yield from _numbered(path, batches)

    with _reading(path) as pyarrow, _opened(pyarrow, path) as table:
        return Table(list(table.schema_arrow.names), rows())


def _opened(pyarrow: Any, path: Path) -> Any:
    """Open a Parquet file to be read page by page: a row group may be the whole file."""
    return pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)


def _arrow(path: Path, wanted: Collection[str]) -> Table:
    def batches(pyarrow: Any) -> Iterator[Any]:
        with pyarrow.OSFile(str(path), "rb") as source:
            reader = _reader(pyarrow, source)
            chosen = [name for name in reader.schema.names if name in wanted]
            if hasattr(reader, "num_record_batches"):
                every = map(reader.get_batch, range(reader.num_record_batches))
            else:
                every = iter(reader)
            for batch in every:
                few = batch.select(chosen)
                for start in range(0, few.num_rows, AT_ONCE):
                    yield few.slice(start, AT_ONCE)

    def rows() -> Iterator[TableRow]:
        with _reading(path) as pyarrow:
            yield from _numbered(path, batches(pyarrow))

    with _reading(path) as pyarrow, pyarrow.OSFile(str(path), "rb") as source:
        return Table(list(_reader(pyarrow, source).schema.names), rows())


def _reader(pyarrow: Any, source: Any) -> Any:
    """Open what `datasets` writes, a stream, or else a file in Arrow's other format."""
    try:
        return pyarrow.ipc.open_stream(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        return pyarrow.ipc.open_file(source)


def _numbered(path: Path, batches: Iterable[Any]) -> Iterator[TableRow]:
    number = 0
    for batch in batches:
        batch.validate(full=True)  # Arrow believes a file, offsets that lead out of it included
        for fields in batch.to_pylist():
            number += 1
            yield TableRow(f"{path}:{number}", fields)


def _json_lines(path: Path) -> Iterator[TableRow]:
    with _lines(path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            if number == 1 and line.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
                raise UserError(f"{where}: expected an object per line, got one list; write lines")
            try:
                fields = json.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            except (ValueError, RecursionError) as error:
                yield TableRow(where, {}, f"not JSON: {one_line(error)[:100]}")
                continue
            problem = "" if isinstance(fields, dict) else "not JSON: expected an object"
            yield TableRow(where, fields if not problem else {}, problem)


@contextmanager
def _lines(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of lines, compressed or not."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
            yield stream  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged or was cut short ({error}): fetch it again") from error


def _csv(path: Path) -> Table:
    """Read a CSV with quotes; what parts its columns is what its header has most of."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        first = stream.readline()
    delimiter = max(",;\t|", key=first.count)

    def cells() -> Iterator[tuple[int, list[str]]]:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            try:
                for row in reader:
                    if row:
                        yield reader.line_num, [cell.strip() for cell in row]
            except csv.Error as error:
                raise UserError(f"{path}:{reader.line_num}: {error}; mend the line") from error

    def rows() -> Iterator[TableRow]:
        for number, row in below:
            problem = ""
            if len(row) != len(header):
                problem = f"wrong number of columns: {len(row)} instead of {len(header)}"
            yield TableRow(f"{path}:{number}", dict(zip(header, row, strict=False)), problem)

    below = cells()
    _, header = next(below, (1, []))
    return Table(header, rows())


def _tsv(path: Path) -> Table:
    """Read a TSV without quotes, as corpora ship them."""
    lines = read_headed_rows(path)
    header = next(lines, None)
    if header is None or header.problem:
        raise UserError(f"{path}:1: expected a header line, got {header or 'nothing'}")
    titles = [title.strip() for title in header.fields]
    rows = (
        TableRow(f"{path}:{r.line}", dict(zip(titles, r.fields, strict=False)), r.problem)
        for r in lines
    )
    return Table(titles, rows)


def _cut(row: TableRow) -> TableRow:
    """Flatten one of lhotse's cuts; what is not one sentence of one recording is refused."""
    try:
        cut, said = row.fields, row.fields.get("supervisions") or []
        recording = cut.get("recording") or {}
        sources = recording.get("sources") or []
        if row.problem or len(said) != 1 or len(sources) != 1:
            counts = f"{len(said)} supervisions, {len(sources)} sources of audio"
            problem = row.problem or f"not one sentence of one recording: {counts}"
            return row._replace(problem=problem)
        if sources[0]["type"] != "file":
            return row._replace(problem=f"audio is no file: {sources[0]['type']!s:.40}")
        if recording.get("transforms"):
            return row._replace(problem="recording that lhotse is to transform: save it first")
        start, duration = cut.get("start") or 0, cut["duration"]
        part = start > 0 or duration < recording["duration"] - WHOLE
        flat = {
            **{name: said[0].get(name) for name in ("text", "speaker", "language")},
            **{"id": cut.get("id"), "audio": sources[0]["source"]},
            "sampling_rate": recording.get("sampling_rate"),
            "translations": (said[0].get("custom") or {}).get("translations"),
            **({"offset": start, "duration": duration} if part else {}),
        }
        return row._replace(fields=flat)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        return row._replace(problem=f"not a cut: {one_line(error)[:100]}")
