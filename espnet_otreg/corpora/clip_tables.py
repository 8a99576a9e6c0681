"""Clip -> text out of the tables that corpora ship.

FLEURS, MLS and LibriSpeech have tables without header, Common Voice and CoVoST-2 tables that are
read by header name: releases differ in their columns and their order; `path`, `sentence` and
`client_id` are in all.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.record import Rejected, one_line
from espnet_otreg.corpora.tsv import Row, read_named_rows, read_rows


class Sentence(NamedTuple):
    """What a table knows of one clip."""

    text: str
    speaker: str  # client_id, or the clip itself where it is empty


class Sentences(NamedTuple):
    """What one table says, and what it does not."""

    found: dict[str, Sentence]
    refused: set[str]  # clips whose lines are among the rejected
    rejected: list[Rejected]
    notes: Counter[str]


CLIPS = ("clips", "clips_16k")  # as released; copies that others have made at 16 kHz
ENDINGS = (".mp3", ".wav", ".flac", ".opus")
DEPTH = 3  # ROOT/<archive>/cv-corpus-<release>/<language>, as Mozilla's client leaves it


def common_voice_folders(root: Path, language: str = "*") -> list[Path]:
    """List the folders of a language with clips: the deepest first, ROOT/<language> last."""
    found = [
        folder
        for folder in _folders(root)
        if language in ("*", folder.name) and clip_folders(folder)
    ]
    return sorted(found, key=lambda folder: (-len(folder.parts), folder))


def spontaneous_tables(root: Path, language: str) -> list[Path]:
    """List tables of spontaneous speech, which have other columns and another sort of text."""
    name = f"ss-corpus-{language}.tsv"
    return [folder / name for folder in (root, *_folders(root)) if (folder / name).is_file()]


def _folders(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield the folders below root, but none of clips, of which there may be a million."""
    try:
        with os.scandir(root) as entries:
            inner = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except PermissionError:  # such as the lost+found of a disk
        return
    for name in inner:
        if name not in (*CLIPS, "audios"):
            yield root / name
            if depth > 1 and not clip_folders(root / name):
                yield from _folders(root / name, depth - 1)


def clip_folders(home: Path) -> list[str]:
    """List those of a language's folders in which its recordings may be."""
    return [str(home / name) for name in CLIPS if (home / name).is_dir()]


def find_clip(folders: Collection[str], name: str) -> str:
    """Return the path of a clip: as the table names it, or its stem with another ending.

    Where there is none, the path that it should have.
    """
    stem, ending = os.path.splitext(name)
    if ending not in ENDINGS:  # the first releases leave it out
        stem, name = name, name + ENDINGS[0]
    names = dict.fromkeys([name, *(stem + other for other in ENDINGS)])
    paths = [f"{folder}/{each}" for folder in folders for each in names]
    return next(filter(os.path.isfile, paths), paths[0])


def read_sentences(path: Path, corpus: str, wanted: Collection[str] | None = None) -> Sentences:
    """Read a table, or the lines of the wanted clips in it; no clip keeps two sentences."""
    (clip_at, text_at, speaker_at), rows = read_named_rows(path, ["path", "sentence", "client_id"])
    out = Sentences({}, set(), [], Counter())
    for row in rows:
        where = f"{path}:{row.line}"
        if row.problem:
            named = [field for field in row.fields if wanted and field in wanted]
            if wanted is None:
                out.rejected.append(Rejected(where, row.problem))
            elif named or not row.fields:
                detail = f" ({' '.join(named) or 'any clip'})"
                out.rejected.append(Rejected(where, row.problem + detail))
            out.refused.update(named)
            continue
        clip = row.fields[clip_at]
        if wanted is not None and clip not in wanted:
            continue
        speaker = "_".join(row.fields[speaker_at].split()) or f"{corpus}-{Path(clip).stem}"
        sentence = Sentence(one_line(row.fields[text_at]), speaker)
        first = out.found.setdefault(clip, sentence)
        if first != sentence:
            out.refused.add(clip)
            out.rejected.append(Rejected(where, f"conflicting duplicate: {clip}"))
        elif clip in out.refused or first is not sentence:
            out.notes["identical duplicate rows"] += 1
    return out


class Pairs(NamedTuple):
    """The texts, the lines left out, and the count of identical duplicates."""

    texts: dict[str, str]
    refused: set[str]  # clips whose lines are among the rejected
    rejected: list[Rejected]
    notes: Counter[str]


def read_pairs(path: Path, columns: int, clip_at: int, text_at: int) -> Pairs:
    """Read two columns of a table; a clip with two different texts belongs to neither."""
    return _pairs(path, read_rows(path, columns), clip_at, text_at)


def read_lines(path: Path) -> Pairs:
    """Read `clip text` lines, cut at their first white space."""
    rows = (
        row._replace(fields=list(one_line(" ".join(row.fields)).partition(" ")[::2]))
        for row in read_rows(path, 0)
    )
    return _pairs(path, rows, 0, 1)


def _pairs(path: Path, rows: Iterable[Row], clip_at: int, text_at: int) -> Pairs:
    out = Pairs({}, set(), [], Counter())
    conflicts = set()  # unlike a broken line, two good ones that differ cost the clip its text
    for row in rows:
        where = f"{path}:{row.line}"
        if row.problem:
            out.rejected.append(Rejected(where, row.problem))
            out.refused.update(field.strip() for field in row.fields[clip_at : clip_at + 1])
            continue
        clip, text = row.fields[clip_at].strip(), one_line(row.fields[text_at])
        if clip not in out.texts:
            out.texts[clip] = text
        elif out.texts[clip] == text:
            out.notes["identical duplicate rows"] += 1
        else:
            conflicts.add(clip)
            out.rejected.append(Rejected(where, f"conflicting duplicate: {clip}"))
    for clip in conflicts:
        del out.texts[clip]
    out.refused.update(conflicts)
    return out
