"""Files that appear whole or not at all, Kaldi's `name value` tables, and standard output."""

import glob
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from espnet_otreg.errors import UserError


@contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Send what others print to standard error: standard output belongs to the command.

    For imports: ESPnet 202511 prints while it loads. The file descriptor moves and `sys.stdout`
    stays, for modules keep it (`def print_config(cls, file=sys.stdout)`).
    """
    if sys.stdout is None or sys.stderr is None:  # closed by who started us
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open `path` for writing ("w" or "wb"); on any failure the old file, or none, is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(beside, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
        os.replace(beside, path)
    except UnicodeEncodeError as error:  # half a character, as JSON and odd file names can hold
        beside.unlink(missing_ok=True)
        part = error.object[max(0, error.start - 20) : error.end + 20]
        raise UserError(f"{path} cannot hold {part!r}, which is not Unicode; mend it") from error
    except BaseException:  # Ctrl-C too must not leave the temporary file behind
        beside.unlink(missing_ok=True)
        raise


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remove_half_written(output: Path, *further: Path) -> None:
    """Remove what a killed command was writing: in `output`, beside it, beside `further` files.

    To be called by who owns `output`: nobody else may be writing there.
    """
    names = [(output, output.stem), *((path, path.name) for path in further)]
    left = [
        found for path, name in names for found in path.parent.glob(f".{glob.escape(name)}*.tmp")
    ]
    if output.is_dir():
        left += output.rglob(".*.tmp")
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, given without their ends."""
    with writing(path) as stream:
        stream.writelines(f"{line}\n" for line in lines)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON."""
    write_lines(path, [json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)])


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); make it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} should hold a JSON object, not a {type(content).__name__}")
    return content


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file with their ends, one at a time."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            yield from stream
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}); convert it") from error


def read_table(path: Path) -> dict[str, str]:
    """Read `name value` lines; the value is the rest of the line and may be empty."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; it should hold one `utterance value` per line")
    table: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        name, *rest = line.split(None, 1)[:2] or [""]
        if not name:
            continue
        if name in table:
            raise UserError(f"{path}:{number}: {name!r} is there twice; remove one")
        table[name] = rest[0].strip() if rest else ""
    if not table:
        raise UserError(f"{path} is empty; it should hold one `utterance value` per line")
    return table


def read_chosen(path: Path, key_file: Path | None) -> dict[str, str]:
    """Read a table, or of it the utterances that a file of keys lists, in that order."""
    table = read_table(path)
    if key_file is None:
        return table
    keys = key_file.read_text(encoding="utf-8").split()
    unknown = [key for key in keys if key not in table]
    if unknown:
        raise UserError(f"{key_file}: {unknown[0]} is not in {path}: list utterances of that table")
    return {key: table[key] for key in keys}


def nan_to_null(value: Any) -> Any:
    """Turn nan, which JSON does not know, into null."""
    if isinstance(value, Mapping):
        return {key: nan_to_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_null(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def infinite_to_text(value: Any) -> Any:
    """Name infinite numbers and nan as YAML does, as JSON has none; other types become text."""
    if isinstance(value, Mapping):
        return {str(key): infinite_to_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [infinite_to_text(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return value if isinstance(value, str | int | float | None) else str(value)
