"""CoVoST-2: Common Voice 4.0 recordings with official splits and translations.

Source: the splits and translations come from https://github.com/facebookresearch/covost, the audio
is Common Voice's release 4 (2019-12-10), now at the Mozilla Data Collective,
https://mozilladatacollective.com; both must be fetched by hand.
Licence: CC0. Citation: C. Wang, A. Wu, J. Pino, "CoVoST 2 and Massively Multilingual
Speech-to-Text Translation", arXiv 2007.10310.

Layout, any of::

    ROOT/cv-corpus-4-2019-12-10/<language>/{validated.tsv,clips/*.mp3}   (or ROOT/<language>/...)
    ROOT/<archive>/cv-corpus-4-2019-12-10/<language>/...    as Mozilla's client unpacks each archive
    clips_16k/*.wav instead of clips/*.mp3, or any of .mp3 .wav .flac .opus in either
    ROOT/covost_v2.<language>_<target>.tsv      (or in ROOT/covost2/, or in ROOT/<language>/)

For recognition the targets do not matter: a split is the union over all targets that are present.
For translation an utterance needs a translation into the target asked for.
"""

import re
from collections import Counter
from collections.abc import Iterator
from os.path import splitext
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.clip_tables import (
    clip_folders,
    common_voice_folders,
    find_clip,
    read_sentences,
)
from espnet_otreg.corpora.record import (
    Prepared,
    Record,
    Rejected,
    absent,
    fault,
    make_utt_id,
    one_line,
)
from espnet_otreg.corpora.tsv import read_named_rows
from espnet_otreg.errors import UserError

NAME = "covost2"
VARIABLE = "COVOST2"
OPTIONS = ("target",)
SPLITS = ("train", "dev", "test")
SOURCES = "en fr de es ca it ru zh-CN pt fa et mn nl tr ar sv-SE lv sl ta ja id cy"
RELEASE = "cv-corpus-4-2019-12-10"
# "train_covost" marks the clips that CoVoST added to Common Voice's own training set
SPLIT_NAMES = {"train": "train", "train_covost": "train", "dev": "dev", "test": "test"}


class Listed(NamedTuple):
    """One good line of a split table."""

    where: str
    clip: str
    translation: str
    split: str


class Splits(NamedTuple):
    """The clips of one split, with their translation where one target was chosen."""

    translations: dict[str, str]  # clip -> translation, "" where none is kept
    target: str | None
    rejected: list[Rejected]
    notes: Counter[str]


def prepare(
    root: Path, language: str, split: str, work: Path, *, target: str | None = None
) -> Prepared:
    """List one language and split; `target` picks the translation to keep when there are many."""
    if split not in SPLITS:
        raise UserError(f"CoVoST-2 has no split '{split}'; its splits are {', '.join(SPLITS)}")
    home = _common_voice(root, language)
    splits = _read_splits(root, language, split, target)
    sentences = read_sentences(home / "validated.tsv", NAME, splits.translations)
    rejected = splits.rejected + sentences.rejected
    folders, records = clip_folders(home), []
    for clip in sorted(splits.translations.keys() - sentences.refused):
        utt_id = make_utt_id(NAME, language, split, splitext(clip)[0])
        if clip not in sentences.found:
            rejected.append(Rejected(utt_id, f"no sentence: {clip} is not in validated.tsv"))
            continue
        sentence, audio = sentences.found[clip], find_clip(folders, clip)
        translation = splits.translations[clip] or None
        reason = fault(sentence.text, clip, audio)
        if target and not translation:
            reason = reason or "no translation"
        if reason:
            rejected.append(Rejected(utt_id, reason))
            continue
        kept = splits.target if translation else None
        records.append(
            Record(utt_id, sentence.speaker, language, sentence.text, audio, translation, kept)
        )
    return Prepared(records, rejected, splits.notes + sentences.notes)


def has_language(language: str) -> bool:
    """Whether CoVoST-2 translates from it."""
    return language in SOURCES.split()


def languages(root: Path, *, target: str | None = None) -> list[str]:
    """List the languages with clips and split tables, or with that of the target."""
    with_clips = {folder.name for folder in common_voice_folders(root)}
    return [
        language
        for language in SOURCES.split()
        if language in with_clips
        and any(target in (None, name) for name, _ in _find_tables(root, language))
    ]


def _common_voice(root: Path, language: str) -> Path:
    """Find the language's folder of Common Voice 4.0."""
    below = [path for path in common_voice_folders(root, language) if path.parent != root]
    chosen = [path for path in below if path.parent.name == RELEASE] or below
    if len(chosen) > 1:
        names = ", ".join(str(path.parent.relative_to(root)) for path in chosen)
        raise UserError(
            f"{root} holds several Common Voice releases for '{language}': {names}. "
            f"CoVoST-2 belongs to {RELEASE}: keep one of that."
        )
    places = [*chosen, root / language]
    for place in places:
        if clip_folders(place) and (place / "validated.tsv").is_file():
            return place
    looked = [root / RELEASE / language, *places]
    known = f"Source languages of CoVoST-2: {SOURCES}."
    what = f"Common Voice 4.0 for '{language}' (validated.tsv and clips/)"
    raise absent(what, list(dict.fromkeys(looked)), VARIABLE, known)


def _find_tables(root: Path, language: str) -> Iterator[tuple[str, Path]]:
    """Yield target and path of every covost_v2.<language>_<target>.tsv."""
    pattern = re.compile(rf"covost_v2\.{re.escape(language)}_([A-Za-z-]+)\.tsv")
    for place in _table_places(root, language):
        for path in sorted(place.glob("covost_v2.*.tsv")):
            match = pattern.fullmatch(path.name)
            if match:
                yield match[1], path


def _table_places(root: Path, language: str) -> list[Path]:
    """Where split tables may lie, the first place counting most."""
    places = [root, root / "covost2", root / language]
    places += sorted(path / language for path in root.glob("cv-corpus-*"))
    return list(dict.fromkeys([*places, *common_voice_folders(root, language)]))


def _split_tables(root: Path, language: str) -> dict[str, Path]:
    """Find the split tables of a language, by target."""
    tables: dict[str, Path] = {}
    for target, path in _find_tables(root, language):
        tables.setdefault(target, path)
    if not tables:
        places = _table_places(root, language)
        looked = [place / f"covost_v2.{language}_<target>.tsv" for place in places]
        raise absent(f"CoVoST-2's split table for '{language}'", looked, VARIABLE)
    return tables


def _read_splits(root: Path, language: str, split: str, target: str | None) -> Splits:
    """Take the union of a split over all targets; the targets must agree about it."""
    tables = _split_tables(root, language)
    if target is not None and target not in tables:
        raise UserError(
            f"no covost_v2.{language}_{target}.tsv; targets present: {', '.join(sorted(tables))}"
        )
    kept = target or (next(iter(tables)) if len(tables) == 1 else None)
    out = Splits({}, kept, [], Counter())
    seen: dict[str, Listed] = {}  # over all targets
    conflicts = set()
    for name, path in sorted(tables.items()):
        here: dict[str, str] = {}
        for entry in _listed(path, split, out.rejected):
            _refuse_two_splits(seen.setdefault(entry.clip, entry), entry)
            if entry.split != split:
                continue
            translation = one_line(entry.translation)
            if entry.clip in here and here[entry.clip] == translation:
                out.notes["identical duplicate rows"] += 1
            elif entry.clip in here and name != kept:
                out.notes[f"clips with two translations into {name}, which are not used"] += 1
            elif entry.clip in here:
                conflicts.add(entry.clip)
                reason = f"conflicting duplicate: {entry.clip} has two translations"
                out.rejected.append(Rejected(entry.where, reason))
            here[entry.clip] = translation
        for clip, translation in here.items():
            if name == kept:
                out.translations[clip] = translation
            else:
                out.translations.setdefault(clip, "")
    for clip in sorted(conflicts):
        del out.translations[clip]
    return out


def _listed(path: Path, split: str, rejected: list[Rejected]) -> Iterator[Listed]:
    """Read one split table; lines that cannot be read are listed with the split they name."""
    (clip_at, translation_at, split_at), rows = read_named_rows(
        path, ["path", "translation", "split"]
    )
    for row in rows:
        where = f"{path}:{row.line}"
        if row.problem:
            named = SPLIT_NAMES.get(row.fields[-1]) if row.fields else None
            if named in (split, None):
                rejected.append(Rejected(where, row.problem))
            continue
        named = SPLIT_NAMES.get(row.fields[split_at])
        if named is None:
            rejected.append(Rejected(where, f"unknown split: {row.fields[split_at]}"))
            continue
        yield Listed(where, row.fields[clip_at], row.fields[translation_at], named)


def _refuse_two_splits(first: Listed, entry: Listed) -> None:
    """Stop when training and test would overlap."""
    if first.split != entry.split:
        raise UserError(
            f"clip {entry.clip} is in split '{first.split}' at {first.where} and in split "
            f"'{entry.split}' at {entry.where}: the splits would overlap. Correct the tables."
        )
