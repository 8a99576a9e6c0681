"""FLEURS: the same sentences read in 102 languages.

Source: https://huggingface.co/datasets/google/fleurs (the repository's `data` folder).
Licence: CC BY 4.0. Citation: A. Conneau et al., "FLEURS: Few-shot Learning Evaluation of Universal
Representations of Speech", arXiv 2205.12446.

Layout (ROOT may also be the folder above `fleurs/`)::

    ROOT/data/<code>/{train,dev,test}.tsv           no header: sentence id, wav name, raw text,
                                                    normalised text, characters, samples, gender
    ROOT/data/<code>/audio/{train,dev,test}.tar.gz  or unpacked: audio/<split>/*.wav

FLEURS names no speakers, only a gender, and one sentence id has up to three readers. Every
utterance is therefore its own speaker: nothing is clustered that might be two people.
"""

from pathlib import Path

from espnet_otreg.corpora.archive import unpack
from espnet_otreg.corpora.pairs import read_pairs
from espnet_otreg.corpora.record import (
    Prepared,
    Record,
    Rejected,
    absent,
    make_utt_id,
)
from espnet_otreg.errors import UserError

NAME = "fleurs"
VARIABLE = "FLEURS"
OPTIONS = ("text_column",)
SPLITS = ("train", "dev", "test")
COLUMNS = 7
WAV_COLUMN = 1
TEXT_COLUMNS = {"raw": 2, "normalised": 3}
ALIASES = {"zh": "cmn_hans_cn", "zh-CN": "cmn_hans_cn", "no": "nb_no"}


def prepare(
    root: Path, language: str, split: str, work: Path, *, text_column: str = "normalised"
) -> Prepared:
    """List one language and split, unpacking its archive once under `work`."""
    if split not in SPLITS:
        raise UserError(f"FLEURS has no split '{split}'; its splits are {', '.join(SPLITS)}")
    if text_column not in TEXT_COLUMNS:
        raise UserError(f"text column '{text_column}': expected {' or '.join(TEXT_COLUMNS)}")
    home = _language_folder(root, language)
    table = home / f"{split}.tsv"
    if not table.is_file():
        raise absent(f"FLEURS' table of '{language}' {split}", [table], VARIABLE)
    clips = _clips(home, split, work)
    label = home.name.split("_")[0] if language == home.name else language
    texts, rejected, notes = read_pairs(table, COLUMNS, WAV_COLUMN, TEXT_COLUMNS[text_column])
    records = []
    for name, text in sorted(texts.items()):
        utt_id = make_utt_id(NAME, label, split, Path(name).stem)
        audio = clips / name
        if not text:
            rejected.append(Rejected(utt_id, "empty sentence"))
        elif Path(name).name != name:
            rejected.append(Rejected(utt_id, f"path is not a plain file name: {name}"))
        elif not audio.is_file():
            rejected.append(Rejected(utt_id, f"missing clip: {audio}"))
        else:
            records.append(Record(utt_id, utt_id, label, text, audio))
    return Prepared(records, rejected, notes)


def _language_folder(root: Path, language: str) -> Path:
    """Find the folder of a code such as 'es' (es_419) or 'es_419'."""
    places = [place for place in (root / "data", root / "fleurs" / "data") if place.is_dir()]
    wanted = ALIASES.get(language, language.replace("-", "_").lower())
    for place in places:
        if (place / wanted).is_dir():
            return place / wanted
        named = sorted(place.glob(f"{wanted.split('_')[0]}_*"))
        if len(named) == 1:
            return named[0]
        if named:
            codes = ", ".join(path.name for path in named)
            raise UserError(f"FLEURS language '{language}' could be {codes}: name one of them.")
    looked = [place / f"{wanted}_*" for place in places] or [
        root / "data",
        root / "fleurs" / "data",
    ]
    present = [path.name for place in places for path in sorted(place.iterdir()) if path.is_dir()]
    hint = f"Languages present: {' '.join(present)}." if present else ""
    raise absent(f"FLEURS' folder of '{language}'", looked, VARIABLE, hint)


def _clips(home: Path, split: str, work: Path) -> Path:
    """Return the folder of wav files, unpacking the archive unless somebody has done so."""
    folder, archive = home / "audio" / split, home / "audio" / f"{split}.tar.gz"
    if folder.is_dir():
        return folder
    if not archive.is_file():
        raise absent(f"FLEURS' audio of {home.name} {split}", [archive, folder], VARIABLE)
    return unpack(archive, work / home.name / split)
