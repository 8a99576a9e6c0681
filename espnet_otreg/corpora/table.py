"""Your own tables: Parquet, JSON lines, CSV, TSV, lhotse's cuts, or a folder that `datasets` saved.

Layout: any, with a `table.yaml` that says what the columns mean (see `table_map.py`)::

    ROOT/table.yaml                   such as `preset: fleurs`; or beside it, as ROOT.yaml
    ROOT/.../train-*.parquet          or any other files that table.yaml names

A row is an utterance. Its language is the one that table.yaml gives, or its column says, or its
file's folder. An id that two rows share belongs to the first; the others are listed, unless all
that they say is the same.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from espnet_otreg.corpora.record import Prepared, Record, Rejected, make_utt_id
from espnet_otreg.corpora.table_clips import ANY, NO_COLUMN, Clip, read_clips, read_languages
from espnet_otreg.corpora.table_files import find_files, languages_by_folder, split_names
from espnet_otreg.corpora.table_map import TableMap, find_map, read_map
from espnet_otreg.errors import UserError

NAME = "table"
VARIABLE = "TABLE"
OPTIONS = ("target",)
SPLITS = ("train", "dev", "test")  # in which languages are looked for
_MISSING = "missing clip"


def prepare(
    root: Path, language: str, split: str, work: Path, *, target: str | None = None
) -> Prepared:
    """List the rows of one language and split; `target` is the language of the translations."""
    tables = read_map(root)
    found = find_files(tables, root, language, split, target)
    into = target or found.target
    out = Prepared([], [], Counter())
    seen: dict[str, tuple[int, str]] = {}  # of an id what its first row says, and where
    others: Counter[str] = Counter()
    for clip in _clips(tables, root, found.files, work):
        other = _is_other(tables, clip, language, split)
        if other:
            others[other] += 1
            continue
        if not (clip.problem or tables.language or clip.language or found.by_folder):
            clip = clip._replace(problem=f"no language: say `language:` in {tables.place}")
        whole = clip.name.startswith(f"{tables.name}-{language}-{split}-")  # as we export them
        utt_id = clip.name if whole else make_utt_id(tables.name, language, split, clip.name)
        utt_id = utt_id if clip.name else clip.where
        reason = clip.problem or ("no translation" if target and not clip.translation else "")
        if clip.name and not reason:
            says = hash((clip.text, clip.speaker, clip.translation, clip.content))
            first, where = seen.setdefault(utt_id, (says, clip.where))
            if where != clip.where and first == says:
                out.notes["identical duplicate rows"] += 1
                continue
            if where != clip.where:
                utt_id, reason = clip.where, f"duplicate id: {clip.name} is {where} too"
        if reason:
            out.rejected.append(Rejected(utt_id, reason))
            continue
        speaker = f"{tables.speakers}{'_'.join(clip.speaker.split())}" if clip.speaker else utt_id
        kept = (clip.translation, into) if clip.translation and into else (None, None)
        out.records.append(Record(utt_id, speaker, language, clip.text, clip.audio, *kept))
    out.notes.update({f"rows of {what}": count for what, count in others.items()})
    _refuse_nothing(tables, root, out, others)
    return out


def has_language(language: str) -> bool:
    """Tables can be in any."""
    return True


def languages(root: Path, *, target: str | None = None) -> list[str]:
    """List the languages that the tables have."""
    if find_map(root) is None:
        return []
    tables = read_map(root)
    if tables.language:
        return [tables.language]
    by_folder = languages_by_folder(tables, root, target)
    if by_folder or "language" not in tables.columns:
        return by_folder
    names: set[str] = set()
    for split in SPLITS:
        try:
            found = find_files(tables, root, "*", split, target)
        except UserError:  # a table need not have all splits
            continue
        names = names.union(*(read_languages(tables, path) for path in found.files))
    return sorted({tables.languages.get(name, name) for name in names if name})


def _clips(tables: TableMap, root: Path, files: list[Path], work: Path) -> Iterator[Clip]:
    for path in files:
        yield from read_clips(tables, root, path, work)


def _is_other(tables: TableMap, clip: Clip, language: str, split: str) -> str:
    """Name the language or split that a row is of, where that is not the one asked for."""
    own = "" if tables.language or "language" not in tables.columns else clip.language
    if own and tables.languages.get(own, own) != language:
        return f"language '{own}'"
    told = "split" in tables.columns and clip.split != ANY
    if told and clip.split not in split_names(split):
        return f"split '{clip.split}'"
    return ""


def _refuse_nothing(tables: TableMap, root: Path, out: Prepared, others: Counter[str]) -> None:
    """Where all rows are lost alike, say what to change rather than list them."""
    if out.records:
        return
    reasons = [entry.reason for entry in out.rejected]
    if not reasons and others:
        there = ", ".join(f"{count} of {what}" for what, count in others.most_common(5))
        raise UserError(
            f"{root} has no row of the language and split asked for, but {there}: see `languages:` "
            f"and `splits:` in {tables.place}"
        )
    if reasons and all(reason.startswith(NO_COLUMN) for reason in reasons):
        raise UserError(
            f"all {len(reasons)} rows have {reasons[0]}. Name the right one under `columns:` in "
            f"{tables.place}."
        )
    if reasons and all(reason.startswith(_MISSING) for reason in reasons):
        raise UserError(
            f"none of {len(reasons)} recordings is where {tables.place} leads, the first "
            f"{reasons[0].partition(': ')[2]}: say `audio_root:` there, the folder at which the "
            "table's relative paths start"
        )
