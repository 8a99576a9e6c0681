"""Clip -> text out of a table without header: what FLEURS and MLS have in common."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.record import Rejected, one_line
from espnet_otreg.corpora.tsv import read_rows


class Pairs(NamedTuple):
    """The texts, the lines left out, and the count of identical duplicates."""

    texts: dict[str, str]
    rejected: list[Rejected]
    notes: Counter[str]


def read_pairs(path: Path, columns: int, clip_at: int, text_at: int) -> Pairs:
    """Read two columns of a table; a clip with two different texts belongs to neither."""
    out = Pairs({}, [], Counter())
    conflicts = set()
    for row in read_rows(path, columns):
        where = f"{path}:{row.line}"
        if row.problem:
            out.rejected.append(Rejected(where, row.problem))
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
    return out
