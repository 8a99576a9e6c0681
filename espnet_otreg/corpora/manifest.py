"""The tables of a formatted set once more, as the JSONL manifest that NeMo, lhotse and others read.

A line per utterance, in order of their ids. `audio_filepath` is relative to the manifest, so that
the folder can be moved; `duration` is in seconds::

    {"id": ..., "audio_filepath": "audio/3f/x.flac", "duration": 1.5, "num_samples": 24000,
     "text": ..., "lang": "fr", "speaker": ..., "license": ..., "attribution": ...,
     "translations": {"en": ...}}
"""

import json
import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import Rejected
from espnet_otreg.files import write_lines

MANIFEST = "manifest.jsonl"


def write_manifest(folder: Path, data: DataDir, fs: int) -> None:
    """Write the manifest of a set whose recordings have the rate `fs`."""
    write_lines(folder / MANIFEST, _lines(folder, data, fs))


def is_current(folder: Path, data: DataDir, fs: int) -> bool:
    """Whether the manifest is, line by line, what `write_manifest` would write."""
    path = folder / MANIFEST
    if not path.is_file():
        return False
    with open(path, encoding="utf-8", errors="replace", newline="\n") as stream:
        pairs = zip_longest(stream, _lines(folder, data, fs))
        return all(expected is not None and line == f"{expected}\n" for line, expected in pairs)


def wrong_lines(folder: Path, data: DataDir, fs: int) -> Iterator[Rejected]:
    """Yield every line that says anything else than the tables, or names an absent recording.

    A line of each side is in memory at a time.
    """
    path = folder / MANIFEST
    if not path.is_file():
        yield Rejected(str(path), "missing")
        return
    with open(path, "rb") as stream:
        pairs = zip_longest(stream, entries(folder, data, fs))
        for number, (line, expected) in enumerate(pairs, start=1):
            problem = _problem(line, expected)
            if not problem and not os.path.isfile(f"{folder}/{expected['audio_filepath']}"):
                problem = f"{expected['audio_filepath']} is missing"
            if problem:
                yield Rejected(f"{path}:{number}", problem)


def _lines(folder: Path, data: DataDir, fs: int) -> Iterator[str]:
    """Write the entries, one at a time."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return (encode(entry) for entry in entries(folder, data, fs))


def entries(folder: Path, data: DataDir, fs: int) -> Iterator[dict[str, Any]]:
    """Describe the utterances, one at a time."""
    tables = data.tables
    translations = {
        name.partition(".")[2]: table for name, table in tables.items() if name.startswith("text.")
    }
    inside = f"{folder}/"
    for utt in data.ids:
        path, samples = tables["wav.scp"][utt], int(tables["utt2num_samples"][utt])
        entry: dict[str, Any] = {
            "id": utt,
            "audio_filepath": path.removeprefix(inside)
            if path.startswith(inside)
            else os.path.relpath(path, folder),
            "duration": samples / fs,
            "num_samples": samples,
            "text": tables["text"][utt],
        }
        if "utt2lang" in tables:
            entry["lang"] = tables["utt2lang"][utt]
        entry["speaker"] = tables["utt2spk"][utt]
        for fact in ("license", "attribution"):
            if f"utt2{fact}" in tables:
                entry[fact] = tables[f"utt2{fact}"][utt]
        known = {lang: table[utt] for lang, table in translations.items() if utt in table}
        if known:
            entry["translations"] = known
        yield entry


def _problem(line: bytes | None, expected: dict[str, Any] | None) -> str:
    """Say how a line differs from what is expected, empty if it does not."""
    if expected is None:
        return "a line too many"
    if line is None:
        return f"{expected['id']} is not in it"
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON ({error})"
    if entry == expected:
        return ""
    if not isinstance(entry, dict):
        return f"not an object: {line.strip()[:60].decode()}"
    keys = [key for key in {**expected, **entry} if entry.get(key) != expected.get(key)]
    return "; ".join(f"{key} {entry.get(key)!r} instead of {expected.get(key)!r}" for key in keys)
