"""AISHELL-1: 178 hours of Mandarin, read by 400 speakers.

Source: https://www.openslr.org/33. Licence: Apache 2.0. Citation: H. Bu et al., "AISHELL-1: An
Open-Source Mandarin Speech Corpus and a Speech Recognition Baseline", O-COCOSDA 2017, arXiv
1709.05522.

Layout (ROOT may also be `data_aishell` itself, or the folder above `aishell/`)::

    ROOT/data_aishell/transcript/aishell_transcript_v0.8.txt    id SPACE words with spaces between
    ROOT/data_aishell/wav/{train,dev,test}/<speaker>/<id>.wav   id such as BAC009S0002W0122
    ROOT/resource_aishell/speaker.info                          not needed: the id names the speaker

data_aishell.tgz holds one archive per speaker, to be unpacked in place::

    cd ROOT/data_aishell/wav && for f in *.tar.gz; do tar -xzf "$f"; done

One transcript file serves all splits; the folder of its speaker tells a transcript's split. The
words' spaces are the segmenter's, not part of the spelling: the text here has none, and the figure
to read is the character error rate.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.record import (
    Prepared,
    Record,
    Rejected,
    absent,
    make_utt_id,
    one_line,
)
from espnet_otreg.corpora.tsv import read_rows
from espnet_otreg.errors import UserError

NAME = "aishell"
VARIABLE = "AISHELL"
OPTIONS = ()
SPLITS = ("train", "dev", "test")
LANGUAGES = ("zh", "zh-CN")  # the second so that it can be trained together with CoVoST-2's
TRANSCRIPT = "aishell_transcript_v0.8.txt"
_ID = re.compile(r"BAC009(S\d{4})W\d{4}")


class Transcripts(NamedTuple):
    """What the transcript file says about the speakers of one split."""

    texts: dict[str, str]
    conflicts: set[str]  # clips with two different texts
    rejected: list[Rejected]
    notes: Counter[str]


def prepare(root: Path, language: str, split: str, work: Path) -> Prepared:
    """List one split: every clip in its folders, and every transcript of its speakers."""
    if not has_language(language):
        raise UserError(f"AISHELL-1 has no language '{language}'; it has zh (Mandarin)")
    if split not in SPLITS:
        raise UserError(f"AISHELL-1 has no split '{split}'; its splits are {', '.join(SPLITS)}")
    home = _home(root)
    speakers = _speakers(home / "wav")
    folders = {who: folder for who, folder in speakers.items() if folder.parent.name == split}
    if not folders:
        looked = [home / "wav" / split / "<speaker>"]
        raise absent(f"AISHELL-1's recordings of '{split}'", looked, VARIABLE)
    found = _read_transcripts(home / "transcript" / TRANSCRIPT, speakers, split)
    records, rejected = [], list(found.rejected)
    clips = {path.stem: path for folder in folders.values() for path in folder.glob("*.wav")}
    for clip, audio in sorted(clips.items()):
        utt_id = make_utt_id(NAME, language, split, clip)
        who = audio.parent.name
        if _speaker_of(clip) != who:
            rejected.append(Rejected(utt_id, f"not an id of speaker {who}: {audio}"))
        elif clip in found.conflicts:
            rejected.append(Rejected(utt_id, f"two different transcripts: {clip}"))
        elif clip not in found.texts:
            rejected.append(Rejected(utt_id, f"no transcript: {clip} is not in {TRANSCRIPT}"))
        elif not found.texts[clip]:
            rejected.append(Rejected(utt_id, "empty sentence"))
        else:
            records.append(Record(utt_id, f"{NAME}-{who}", language, found.texts[clip], str(audio)))
    for clip in sorted(found.texts.keys() - clips.keys()):
        audio = folders[_speaker_of(clip)] / f"{clip}.wav"
        utt_id = make_utt_id(NAME, language, split, clip)
        rejected.append(Rejected(utt_id, f"missing clip: {audio}"))
    return Prepared(records, rejected, found.notes)


def has_language(language: str) -> bool:
    """Whether it is Mandarin."""
    return language in LANGUAGES


def languages(root: Path) -> list[str]:
    """Return Mandarin if the corpus is there."""
    return [LANGUAGES[0]] if any(_is_home(place) for place in _places(root)) else []


def _speaker_of(clip: str) -> str:
    """Return the speaker named in an id; empty if it is none of AISHELL-1."""
    match = _ID.fullmatch(clip)
    return match[1] if match else ""


def _home(root: Path) -> Path:
    """Find the folder that holds wav/ and transcript/."""
    for place in _places(root):
        if _is_home(place):
            return place
    looked = [place / "transcript" / TRANSCRIPT for place in _places(root)]
    raise absent("AISHELL-1 (wav/ and transcript/)", looked, VARIABLE)


def _places(root: Path) -> list[Path]:
    return [root / "data_aishell", root, root / "aishell" / "data_aishell"]


def _is_home(place: Path) -> bool:
    return (place / "wav").is_dir() and (place / "transcript" / TRANSCRIPT).is_file()


def _speakers(wav: Path) -> dict[str, Path]:
    """Return each speaker's folder; a speaker is in one split, and no archive is left packed."""
    folders: dict[str, Path] = {}
    for split in SPLITS:
        for folder in sorted((wav / split).glob("S*")):
            other = folders.setdefault(folder.name, folder)
            if other != folder:
                raise UserError(
                    f"speaker {folder.name} is in {other} and in {folder}: test speakers must not "
                    "be trained on. Unpack the archives again into an empty folder."
                )
    names = {path.name.removesuffix(".tar.gz") for path in wav.glob("S*.tar.gz")}
    packed = sorted(names - folders.keys())
    if packed:
        raise UserError(
            f"{wav}: {len(packed)} of the speakers' archives are not unpacked "
            f"({packed[0]}.tar.gz{', ...' if len(packed) > 1 else ''}). "
            f'Run: cd {wav} && for f in *.tar.gz; do tar -xzf "$f"; done'
        )
    return folders


def _read_transcripts(path: Path, speakers: dict[str, Path], split: str) -> Transcripts:
    """Keep the split's own lines; what belongs to no split is listed with every one."""
    out = Transcripts({}, set(), [], Counter())
    elsewhere: Counter[str] = Counter()
    for row in read_rows(path, 0):
        where = f"{path}:{row.line}"
        clip, _, words = one_line(" ".join(row.fields)).partition(" ")
        who = _speaker_of(clip)
        if row.problem or not who:
            out.rejected.append(Rejected(where, row.problem or f"not an id of AISHELL-1: {clip}"))
        elif who not in speakers:
            elsewhere[who] += 1
        elif speakers[who].parent.name == split:
            text = words.replace(" ", "")
            if clip not in out.texts:
                out.texts[clip] = text
            elif out.texts[clip] == text:
                out.notes["identical duplicate rows"] += 1
            else:
                out.conflicts.add(clip)
    for who, count in sorted(elsewhere.items()):
        out.rejected.append(Rejected(who, f"speaker without recordings: {count} transcripts"))
    return out
