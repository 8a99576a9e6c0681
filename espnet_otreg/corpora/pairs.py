"""Clip -> text out of a table without header: what FLEURS, MLS and LibriSpeech have in common."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.record import Rejected, one_line
from espnet_otreg.corpora.tsv import Row, read_rows


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
