"""Anybody's hypotheses: reading what other tools write, and matching it with the references.

Formats, by the end of the file's name: `.tsv` and `.csv` with a header line, `.jsonl` and `.json`
with an object per line; everything else is Kaldi's `utterance words` lines.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_lines, read_table
from espnet_otreg.scoring.normalise import basic

WITH_FIELDS = (".tsv", ".csv", ".jsonl", ".json")  # ends of names; other files hold words alone
# The first that is there counts.
ID_COLUMNS = ("utterance", "utt_id", "id", "key", "audio_filepath", "audio", "path", "file")
PATH_COLUMNS = ID_COLUMNS[4:]  # the utterance is the file's name without folder and ending
# One alone may be there, but for `text` beside `pred_text`.
TEXT_COLUMNS = ("pred_text", "hypothesis", "hyp", "prediction", "transcription", "text")
_OUTPUTS = re.compile("pred|hyp", re.IGNORECASE)  # in the name of a field that holds what was heard
_NUMBERED = re.compile(r"sample_\d+")
_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".sph")


class Matched(NamedTuple):
    """Hypotheses with exactly the utterances of the references, and what was done for that."""

    hypotheses: dict[str, str]
    missing: int  # counted as empty
    extra: int  # left out


def read_hypotheses(path: Path, text_field: str | None = None) -> dict[str, str]:
    """Read a file of hypotheses in any of the formats; the same utterance twice is an error.

    A file with fields may hold the reference too. So where several fields could be what was heard,
    `text_field` must say which.
    """
    ending = path.suffix.lower()
    if ending not in WITH_FIELDS:
        if text_field is not None:
            raise UserError(f"--text_field {text_field}: {path} has no fields, only words")
        return read_table(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; it should hold the hypotheses to be scored")
    rows = _json_rows(path) if ending.startswith(".json") else _table_rows(path, ending)
    found: dict[str, str] = {}
    for number, row in rows:
        name, text = _name(path, number, row), _text(path, number, row, text_field)
        if name in found:
            raise UserError(f"{path}:{number}: {name!r} is there twice; remove one")
        found[name] = text
    if not found:
        header = "" if ending.startswith(".json") else ", below a header line"
        raise UserError(f"{path} holds no hypothesis; it should have one per line{header}")
    return found


def name_by_text(
    path: Path, hypotheses: Mapping[str, str], references: Mapping[str, str]
) -> dict[str, str]:
    """Give numbered hypotheses the names of the utterances whose text stands beside them.

    Prediction manifests of the Open ASR leaderboard call recordings `sample_0`, `sample_1`, ... and
    have the reference as `text`. Utterances of one text are taken in order: which of them has
    which hypothesis changes no rate. Hypotheses that have names are returned as they are.
    """
    numbered = path.suffix.lower() == ".jsonl" and all(map(_NUMBERED.fullmatch, hypotheses))
    if not numbered or any(name in references for name in hypotheses):
        return dict(hypotheses)
    waiting: dict[str, list[str]] = {}
    for name, text in references.items():
        waiting.setdefault(basic(text, ""), []).append(name)
    found = {}
    for number, row in _json_rows(path):
        own = waiting.get(basic(str(row.get("text", "")), ""))
        if not own:
            raise UserError(
                f"{path}:{number}: its recordings have numbers for names, and its text, "
                f"{str(row.get('text'))[:60]!r}, is no reference that is left: is it another set?"
            )
        found[own.pop(0)] = hypotheses[_name(path, number, row)]
    return found


def match(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    source: Path,
    *,
    missing_as_empty: bool = False,
    ignore_extra: bool = False,
) -> Matched:
    """Bring hypotheses to the utterances of the references, or say what does not match.

    A missing hypothesis can count as empty: every word is deleted. The test set stays whole, since
    a rate over the utterances that a system answered is a rate on another test set.
    """
    missing = [name for name in references if name not in hypotheses]
    extra = [name for name in hypotheses if name not in references]
    problems = []
    if len(missing) == len(references):
        problems.append(
            f"no utterance agrees: the references have {_examples(missing)}, it has "
            f"{_examples(extra)}. Is it of another set, or do the ids need another form?"
        )
    else:
        if missing and not missing_as_empty:
            problems.append(
                f"{len(missing)} missing ({_examples(missing)}). Decode these too, or count them "
                "as empty, every word deleted: --missing empty"
            )
        if extra and not ignore_extra:
            problems.append(
                f"{len(extra)} not in the reference ({_examples(extra)}). Remove them, or leave "
                "them out: --extra ignore"
            )
    if problems:
        raise UserError(
            f"{source} does not match the {len(references)} reference utterances: "
            f"{' Also '.join(problems)}"
        )
    return Matched({n: hypotheses.get(n, "") for n in references}, len(missing), len(extra))


def _examples(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _table_rows(path: Path, ending: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # In a TSV a quotation mark is a character of the text, in a CSV it may hold commas together.
    dialect: dict[str, Any] = {"delimiter": ",", "strict": True}
    if ending == ".tsv":
        dialect = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, **dialect)
            header = next(rows, [])
            for row in rows:
                if row and len(row) != len(header):
                    raise UserError(
                        f"{path}:{rows.line_num}: {len(row)} fields, but the header has "
                        f"{len(header)} ({', '.join(header)}); mend the line"
                    )
                if row:
                    yield rows.line_num, dict(zip(header, row, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as {ending[1:]} in UTF-8: {error}") from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path}:{number} is not JSON ({error}); give one object per line"
            ) from error
        if not isinstance(row, dict):
            raise UserError(
                f"{path}:{number} should be a JSON object, not a {type(row).__name__}; give one "
                "object per line"
            )
        yield number, row


def _name(path: Path, number: int, row: Mapping[str, Any]) -> str:
    column = next((column for column in ID_COLUMNS if column in row), None)
    if column is None:
        raise _no_field(path, number, row, ID_COLUMNS)
    given = row[column]
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise UserError(f"{path}:{number}: {column} should be a text or a number, not {given!r}")
    name = str(given)
    if column in PATH_COLUMNS:
        file = PurePosixPath(name.replace("\\", "/"))
        name = file.stem if file.suffix.lower() in _ENDINGS else file.name
    if not name or len(name.split()) != 1:
        raise UserError(f"{path}:{number}: {column} should be one word, not {name!r}")
    return name


def _text(path: Path, number: int, row: Mapping[str, Any], field: str | None) -> str:
    column = _text_column(path, number, row) if field is None else field
    if column not in row:
        raise UserError(
            f"{path}:{number}: --text_field {column} is not among its fields ({', '.join(row)})"
        )
    text = row[column]
    if not isinstance(text, str):
        raise UserError(f"{path}:{number}: {column} should be a text, not {text!r}")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"{path}:{number}: {column} holds half a character, {text!r}; mend it")
    return " ".join(text.split())


def _text_column(path: Path, number: int, row: Mapping[str, Any]) -> str:
    likely = [column for column in TEXT_COLUMNS if column in row]
    likely += [
        name
        for name, value in row.items()
        if name not in likely
        and _OUTPUTS.search(name)
        and isinstance(value, str)
        and any(map(str.isalpha, value))  # not a score or a length
    ]
    if likely == ["pred_text", "text"]:  # NeMo's manifests hold the reference as `text`
        return "pred_text"
    if len(likely) > 1:
        raise UserError(
            f"{path}:{number}: {' and '.join(likely)} are among its fields, and one of them may be "
            "the reference: say which is the hypothesis by --text_field"
        )
    if not likely or likely[0] not in TEXT_COLUMNS:
        raise _no_field(path, number, row, TEXT_COLUMNS)
    return likely[0]


def _no_field(
    path: Path, number: int, row: Mapping[str, Any], choices: tuple[str, ...]
) -> UserError:
    header = "" if path.suffix.lower().startswith(".json") else " or give a header line,"
    named = ", or name it by --text_field" if choices is TEXT_COLUMNS else ""
    return UserError(
        f"{path}:{number}: none of {', '.join(choices)} is among its fields "
        f"({', '.join(map(str, row))}): rename a field,{header}{named}".rstrip(",")
    )
