"""Multilingual LibriSpeech: read audiobooks in eight languages.

Source: https://www.openslr.org/94. Licence: CC BY 4.0. Citation: V. Pratap et al., "MLS: A
Large-Scale Multilingual Dataset for Speech Research", Interspeech 2020, arXiv 2012.03411.

Layout (ROOT may also be the folder above `mls/`; the `_opus` release is the same)::

    ROOT/mls_<language name>/<split>/transcripts.txt                  id TAB text
    ROOT/mls_<language name>/<split>/audio/<speaker>/<book>/<id>.flac      (or .opus)

An id is <speaker>_<book>_<number>.
"""

import os
from pathlib import Path

from espnet_otreg.corpora.clip_tables import read_pairs
from espnet_otreg.corpora.record import (
    Prepared,
    Record,
    Rejected,
    absent,
    make_utt_id,
)
from espnet_otreg.errors import UserError

NAME = "mls"
VARIABLE = "MLS"
OPTIONS = ()
SPLITS = ("train", "dev", "test")
FOLDERS = {
    "en": "english",
    "de": "german",
    "nl": "dutch",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "pl": "polish",
}
EXTENSIONS = ("flac", "opus")


def prepare(root: Path, language: str, split: str, work: Path) -> Prepared:
    """List one language and split: every transcript, and every recording."""
    if not has_language(language):
        raise UserError(f"MLS has no language '{language}'; it has {', '.join(FOLDERS)}")
    if split not in SPLITS:
        raise UserError(f"MLS has no split '{split}'; its splits are {', '.join(SPLITS)}")
    home = _split_folder(root, language, split)
    table = home / "transcripts.txt"
    texts, refused, rejected, notes = read_pairs(table, 2, 0, 1)
    recordings = _recordings(home / "audio")
    records = []
    for clip, text in sorted(texts.items()):
        utt_id = make_utt_id(NAME, language, split, clip)
        parts = clip.split("_")
        if len(parts) != 3 or Path(clip).name != clip:
            rejected.append(Rejected(utt_id, f"not a <speaker>_<book>_<number> id: {clip}"))
            continue
        path = f"{home}/audio/{parts[0]}/{parts[1]}/{clip}"
        if not text:
            rejected.append(Rejected(utt_id, "empty sentence"))
        elif path not in recordings:
            rejected.append(Rejected(utt_id, f"missing clip: {path}.{EXTENSIONS[0]}"))
        else:
            audio = f"{path}.{recordings[path]}"
            records.append(Record(utt_id, f"{NAME}-{parts[0]}", language, text, audio))
    for clip in sorted({os.path.basename(path) for path in recordings} - texts.keys() - refused):
        utt_id = make_utt_id(NAME, language, split, clip)
        rejected.append(Rejected(utt_id, f"no transcript: {clip} is not in {table}"))
    return Prepared(records, rejected, notes)


def has_language(language: str) -> bool:
    """Whether it is one of the eight."""
    return language in FOLDERS


def languages(root: Path) -> list[str]:
    """List the languages present."""
    return [
        language for language in FOLDERS if any(place.is_dir() for place in _homes(root, language))
    ]


def _homes(root: Path, language: str) -> list[Path]:
    """Where a language may lie."""
    name = f"mls_{FOLDERS[language]}"
    return [base / folder for base in (root, root / "mls") for folder in (name, f"{name}_opus")]


def _split_folder(root: Path, language: str, split: str) -> Path:
    """Find the folder that holds the split's transcripts."""
    looked = [home / split for home in _homes(root, language)]
    for place in looked:
        if (place / "transcripts.txt").is_file():
            return place
    raise absent(f"MLS '{language}' {split} (transcripts.txt and audio/)", looked, VARIABLE)


def _recordings(audio: Path) -> dict[str, str]:
    """Find every recording: its path without the ending, and the ending, FLAC where there are both.

    Listing a folder tells of a whole book at the price of asking after one recording.
    """
    found: dict[str, str] = {}
    for folder in sorted(audio.glob("*/*/")):
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, _, extension = entry.name.rpartition(".")
                # what starts with a dot is what macOS adds to an archive
                if extension in EXTENSIONS and not stem.startswith(".") and entry.is_file():
                    path = f"{folder}/{stem}"
                    found[path] = min(extension, found.get(path, extension), key=EXTENSIONS.index)
    return found
