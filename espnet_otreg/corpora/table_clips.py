"""Rows of tables as clips: what each says, and where its recording is.

Recordings inside Parquet and Arrow are written to files once, shard by shard, beside an index of
the shard's rows: `<work>/<shard>/{rows.jsonl,*.wav ...}`. The work happens in `<shard>.partial`,
which is renamed at the end; a second run reads the index. Other tables name files, which stay.
"""

import io
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.corpora.archive import MARK, stamp_of
from espnet_otreg.corpora.record import one_line
from espnet_otreg.corpora.table_files import format_of
from espnet_otreg.corpora.table_map import NEEDED, TableMap
from espnet_otreg.corpora.table_rows import Fields, Table, TableRow, open_table
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines, writing
from espnet_otreg.progress import progress

INDEX = "rows.jsonl"
INSIDE = "./"  # begins the path of a recording that was written beside the index
NO_COLUMN = "no column"
ANY = "*"  # split of a row that cannot be read
LONGEST = 150  # bytes of an id: it becomes the name of a file
LATEST = 1e6  # seconds into a recording
_WORDS = ("text", "speaker", "language", "split", "translation")
_AUDIO = re.compile(r"\.(wav|flac|mp3|opus|ogg|oga|m4a|webm|sph|aiff?|au)$", re.IGNORECASE)
_STARTS = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff": ".mp3"}


class Clip(NamedTuple):
    """One row, as far as it could be read."""

    where: str  # file:row
    name: str = ""  # that tells it apart in its corpus, fit to be part of a file's name
    text: str = ""
    speaker: str = ""
    language: str = ""  # as the table has it
    split: str = ""
    translation: str = ""
    audio: str = ""  # path, with #t=start,end where a part is meant
    content: str = ""  # what tells one recording from another
    problem: str = ""  # why it is not used, category first


def read_languages(tables: TableMap, path: Path) -> set[str]:
    """Return what one file calls its languages."""
    names = tables.columns["language"]
    table = open_table(path, format_of(path, tables), {name.partition(".")[0] for name in names})
    return {_word(_first(row.fields, names)) for row in table.rows}


def read_clips(tables: TableMap, root: Path, path: Path, work: Path) -> Iterator[Clip]:
    """Read one file of a table, writing what recordings are inside it to files under `work`."""
    wanted = {name.partition(".")[0] for names in tables.columns.values() for name in names}
    table = open_table(path, format_of(path, tables), wanted)
    _check_header(tables, path, table)
    inner = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    rows = _Rows(tables, root, inner)
    if format_of(path, tables) not in ("parquet", "arrow"):
        yield from map(rows.clip, table.rows)
        return
    folder = _written(rows, table, path, work / inner)
    with open(folder / INDEX, encoding="utf-8") as stream:
        for line in stream:
            clip = Clip(*json.loads(line))
            beside = clip.audio.startswith(INSIDE)
            yield clip._replace(audio=f"{folder}/{clip.audio[2:]}") if beside else clip


def _check_header(tables: TableMap, path: Path, table: Table) -> None:
    """Refuse a table without a column that is needed or named by the user."""
    for meaning in sorted(tables.named) if table.columns is not None else ():
        names = tables.columns[meaning]
        if not any({name, name.partition(".")[0]} & set(table.columns or ()) for name in names):
            there = ", ".join(map(one_line, table.columns or ())) or "none"
            raise UserError(
                f"{path} has no column {' or '.join(names)} ({meaning}); it has: {there}. Name "
                f"the right one under `columns:` in {tables.place}."
            )


def _written(rows: "_Rows", table: Table, path: Path, folder: Path) -> Path:
    """Write a shard's recordings and index, unless that has been done; return their folder."""
    stat = path.stat()
    meant = json.dumps([rows.tables.columns, rows.tables.audio_root], sort_keys=True)
    stamp = f"{path.name} {stat.st_size} {stat.st_mtime_ns} {zlib.crc32(meant.encode()):08x}"
    if stamp_of(folder) == stamp:
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    if partial.is_dir() and stamp_of(partial) != stamp:
        shutil.rmtree(partial)
    write_lines(partial / MARK, [stamp])
    rows.folder = partial
    with writing(partial / INDEX) as index, progress(f"unpack {path.name}", "clip") as bar:
        for row in table.rows:
            index.write(f"{json.dumps(rows.clip(row))}\n")
            bar.update()
    if folder.is_dir():  # of a shard or a map that has been replaced since
        shutil.rmtree(folder)
    os.replace(partial, folder)
    return folder


class _Rows:
    """The rows of one file, read by what its columns mean."""

    def __init__(self, tables: TableMap, root: Path, inner: Path) -> None:
        self.tables = tables
        self.inner = inner  # the file's path below root
        self.base = root / tables.audio_root if tables.audio_root else (root / inner).parent
        self.folder: Path | None = None  # for the recordings that are inside
        self.taken: set[str] = set()  # names of files there

    def clip(self, row: TableRow) -> Clip:
        """Read a row; whatever is wrong with it is told."""
        if row.problem:
            return Clip(row.where, split=ANY, problem=row.problem)
        columns = self.tables.columns
        values = {meaning: _first(row.fields, names) for meaning, names in columns.items()}
        clip = Clip(row.where, _name(_word(values.get("id"))))
        clip = clip._replace(**{key: _word(values.get(key)) for key in _WORDS})
        if not _encodes("".join(clip)):
            return Clip(row.where, split=ANY, problem="not Unicode: half a character")
        problem = self._lacking(row.fields) or _not_text(values.get("text"))
        if problem:
            return clip._replace(problem=problem)
        return self._located(clip, values)

    def _lacking(self, fields: Fields) -> str:
        """Say which needed column a row does not have."""
        for meaning in NEEDED:
            names = self.tables.columns[meaning]
            if not any(name.partition(".")[0] in fields or name in fields for name in names):
                there = ", ".join(map(str, fields))
                return f"{NO_COLUMN} {' or '.join(names)}: the row has {there:.200}"
        return ""

    def _located(self, clip: Clip, values: Fields) -> Clip:
        """Find the recording, or write it."""
        path: Any = values["audio"]
        content: Any = None
        null = ""
        if isinstance(path, Mapping):  # as `datasets` keeps audio
            content, path = path.get("bytes"), path.get("path")
            null = ", and the table does not hold it"
        elif isinstance(path, bytes):
            content, path = path, None
        if not clip.name:
            number = clip.where.rpartition(":")[2]
            own = _name(path) if isinstance(path, str) else ""
            clip = clip._replace(name=own or f"{str(self.inner).replace('/', '_')}-{number}")
        if len(clip.name.encode("utf-8", "replace")) > LONGEST:
            problem = f"id is too long: {len(clip.name)} characters"
            return clip._replace(name="", problem=problem)
        part = _part(values.get("offset"), values.get("duration"))
        if part is None:
            given = f"{values.get('offset')!r:.40} and {values.get('duration')!r:.40}"
            return clip._replace(problem=f"not an offset and a duration in seconds: {given}")
        if isinstance(content, bytes) and content and self.folder is not None:
            claim = _claim(values.get("sampling_rate"), io.BytesIO(content))
            return clip._replace(
                audio=f"{INSIDE}{self._write(clip, content)}{part}",
                content=f"{len(content)} {zlib.crc32(content)}{part}",
                problem=claim,
            )
        problem = _no_path(path)
        if problem:
            return clip._replace(problem=problem)
        found = os.path.join(self.base, path)
        problem = f"missing clip: {found}{null}"
        if os.path.isfile(found):
            problem = _claim(values.get("sampling_rate"), found)
        return clip._replace(audio=found + part, content=found + part, problem=problem)

    def _write(self, clip: Clip, content: bytes) -> str:
        """Write a recording, unless an earlier try has; return the file's name."""
        assert self.folder is not None
        ending = next((e for start, e in _STARTS.items() if content.startswith(start)), ".audio")
        name = f"{clip.name}{ending}"
        if name in self.taken:
            name = f"{clip.name}.{clip.where.rpartition(':')[2]}{ending}"
        self.taken.add(name)
        path = self.folder / name
        if not (path.is_file() and path.stat().st_size == len(content)):
            with writing(path, "wb") as stream:
                stream.write(content)
        return name


def _first(fields: Fields, names: Iterable[str]) -> Any:
    """Return what stands in the first of the columns that holds anything."""
    return next((v for name in names if (v := _value(fields, name)) is not None), None)


def _value(fields: Fields, name: str) -> Any:
    """Look a column up, or `a.b` inside one."""
    if name in fields or "." not in name:
        return fields.get(name)
    first, _, rest = name.partition(".")
    inner = fields.get(first)
    return _value(dict(inner), rest) if isinstance(inner, Mapping) else None


def _word(value: Any) -> str:
    """Write a value as a line of text; what is none, and a number that is none, is empty."""
    if isinstance(value, str):
        return one_line(value)
    return str(value) if isinstance(value, int | float) and value == value else ""


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_text(value: Any) -> str:
    if value is None or isinstance(value, str | int | float):
        return "" if _word(value) else "empty sentence"
    return f"text is no text: {type(value).__name__}"


def _no_path(value: Any) -> str:
    """Say why a value is no path to a recording; empty if it may be one."""
    if value is None or value == "":
        return "no audio: null, and no path to a file"
    if not isinstance(value, str):
        return f"audio is neither bytes nor a path: {type(value).__name__}"
    if "://" in value:
        return f"audio is a link: {value:.200}"
    odd = value != value.strip() or not value.isprintable()
    return (
        f"path with white space at an end, or what cannot be printed: {value:.200}" if odd else ""
    )


def _name(value: str) -> str:
    """Make an id of a value: of a path to a recording its stem, of anything else all of it."""
    if _AUDIO.search(value):
        value = _AUDIO.sub("", re.split(r"[/\\]", value)[-1])
    return "_".join(re.sub(r"[/\0]", "_", value).split())


def _part(offset: Any, duration: Any) -> str | None:
    """Write the part of a recording that is meant, empty for all of it; None: makes no sense."""
    if offset in (None, ""):
        return ""
    try:
        start, length = float(offset), float(LATEST if duration in (None, "") else duration)
    except (TypeError, ValueError, OverflowError):
        return None
    if not (0 <= start < LATEST and 0 < length <= LATEST):
        return None
    times = [start] if length == LATEST else [start, start + length]
    return "#t=" + ",".join(f"{time:.6f}".rstrip("0").rstrip(".") for time in times)


def _claim(claimed: Any, file: str | io.BytesIO) -> str:
    """Say that a recording has another rate than the table says, if it has."""
    if claimed in (None, ""):
        return ""
    import soundfile  # here: most tables claim nothing

    from espnet_otreg.corpora.audio import UNOPENED

    try:
        rate = soundfile.info(file).samplerate
    except (soundfile.SoundFileError, OSError, *UNOPENED):
        return ""  # the stage that decodes it will say so
    told = f"{claimed!s:.40}".removesuffix(".0")
    if told == str(rate):
        return ""
    return f"sampling rate: the table says {told} Hz, the recording {rate} Hz"
