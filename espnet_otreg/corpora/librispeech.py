"""LibriSpeech: 960 hours of English audiobooks.

Source: https://www.openslr.org/12. Licence: CC BY 4.0. Citation: V. Panayotov, G. Chen, D. Povey,
S. Khudanpur, "LibriSpeech: an ASR corpus based on public domain audio books", ICASSP 2015.

Layout (ROOT may also be `LibriSpeech` itself)::

    ROOT/LibriSpeech/<part>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac
    ROOT/LibriSpeech/<part>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt     id SPACE TEXT

Splits are made of the seven official parts:

- `train`: those present of train-clean-100, train-clean-360 and train-other-500; how much to train
  on is the user's choice, and the log names them;
- `dev`, `test`: the clean and the other part, both of which must be there, so that a figure on
  `test` always means the same;
- a part's own name, such as `test-clean`, is a split too.
"""

from collections import Counter
from pathlib import Path

from espnet_otreg.corpora.clip_tables import read_lines
from espnet_otreg.corpora.record import (
    Prepared,
    Record,
    Rejected,
    absent,
    fault,
    make_utt_id,
)
from espnet_otreg.errors import UserError

NAME = "librispeech"
VARIABLE = "LIBRISPEECH"
OPTIONS = ()
LANGUAGES = ("en",)
PARTS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "dev": ("dev-clean", "dev-other"),
    "test": ("test-clean", "test-other"),
}
PARTS |= {part: (part,) for parts in tuple(PARTS.values()) for part in parts}


def prepare(root: Path, language: str, split: str, work: Path) -> Prepared:
    """List one split: every transcript of its parts, and every recording."""
    if not has_language(language):
        raise UserError(f"LibriSpeech has no language '{language}'; it has en (English)")
    if split not in PARTS:
        raise UserError(f"LibriSpeech has no split '{split}'; its splits are {', '.join(PARTS)}")
    out = Prepared([], [], Counter())
    for part in _parts(root, split):
        for chapter in sorted(part.glob("*/*/")):
            out.notes[f"recordings of {part.name}"] += _read_chapter(chapter, language, split, out)
    return out


def has_language(language: str) -> bool:
    """Whether it is English."""
    return language in LANGUAGES


def languages(root: Path) -> list[str]:
    """Return English if any part is there."""
    parts = {part for parts in PARTS.values() for part in parts}
    present = any((home / part).is_dir() for home in _homes(root) for part in parts)
    return list(LANGUAGES) if present else []


def _homes(root: Path) -> tuple[Path, Path]:
    return root / "LibriSpeech", root


def _parts(root: Path, split: str) -> list[Path]:
    """Find the folders of a split."""
    found, lacking = [], []
    for part in PARTS[split]:
        looked = [home / part for home in _homes(root)]
        present = [place for place in looked if place.is_dir()]
        found += present[:1]
        lacking += [] if present else looked
    if not found or (lacking and split != "train"):
        hint = ""
        if found:
            hint = f"For {found[0].name} alone, ask for that split by name."
        raise absent(f"LibriSpeech's parts of '{split}'", lacking, VARIABLE, hint)
    return found


def _read_chapter(chapter: Path, language: str, split: str, out: Prepared) -> int:
    """Add the utterances of one folder, or why each is not used; return how many recordings."""
    reader = chapter.parent.name
    stem = f"{reader}-{chapter.name}"
    table = chapter / f"{stem}.trans.txt"
    clips = {path.stem for path in chapter.glob("*.flac")}
    if not table.is_file():
        for clip in sorted(clips):
            utt_id = make_utt_id(NAME, language, split, clip)
            out.rejected.append(Rejected(utt_id, f"no transcript: {table} is missing"))
        return len(clips)
    texts, refused, rejected, notes = read_lines(table)
    out.rejected.extend(rejected)
    out.notes.update(notes)
    for clip, text in sorted(texts.items()):
        utt_id, audio = make_utt_id(NAME, language, split, clip), f"{chapter}/{clip}.flac"
        reason = fault(text, clip, audio)
        if not clip.startswith(f"{stem}-"):
            reason = f"not an id of chapter {stem}: {clip} in {table}"
        if reason:
            out.rejected.append(Rejected(utt_id, reason))
        else:
            out.records.append(Record(utt_id, f"{NAME}-{reader}", language, text, audio))
    for clip in sorted(clips - texts.keys() - refused):
        utt_id = make_utt_id(NAME, language, split, clip)
        out.rejected.append(Rejected(utt_id, f"no transcript: {clip} is not in {table}"))
    return len(clips)
