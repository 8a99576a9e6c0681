"""Where the real corpora keep what: clip files, tables, archives.

`covost2` is Common Voice 4 with CoVoST-2 tables beside it, `commonvoice` a later release with more
columns, `fleurs` is FLEURS, `librispeech` LibriSpeech. All others have the layout of Multilingual
LibriSpeech: `read` in `mls/`, the graded ones in folders of their own names. Three liberties: the
MP3 clips are 16 kHz (Common Voice 4: 48 kHz), English is translated into Spanish, a pair that the
real CoVoST-2 does not have, and FLEURS names its speakers, in a table of its own.
"""

import gzip
import hashlib
import io
import os
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from espnet_otreg.corpora.fleurs import SPEAKERS
from espnet_otreg.files import write_lines, writing
from espnet_otreg.mini.grammar import SPLITS
from espnet_otreg.mini.render import SAMPLE_RATE

RELEASES = {"covost2": "cv-corpus-4-2019-12-10", "commonvoice": "cv-corpus-17.0-2024-03-15"}
FLEURS_CODES = {"en": "en_us", "es": "es_419", "fr": "fr_fr"}
MLS_NAMES = {"en": "english", "es": "spanish", "fr": "french"}
TRANSLATED_TO = {"en": "es", "es": "en", "fr": "en"}
STAGING = ".work"
_MP3_COMPRESSION = 0.5  # about 56 kbit/s
_CV_HEADERS = {
    "covost2": "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent",
    "commonvoice": "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\t"
    "age\tgender\taccents\tvariant\tlocale\tsegment",
}
_CV_FIRST = {"covost2": 17_000_000, "commonvoice": 38_000_000}  # number of the first clip
_BOOKS = 4  # per speaker
# LibriSpeech's and MLS' readers are numbered by the same site, so two people need two numbers
_FIRST_READER = {"librispeech": 6000}
_TRAIN_PARTS = ("train-clean-100", "train-other-500")

Record = dict[str, Any]  # one clip as `build` describes it


def clip_name(corpus: str, lang: str, split: str, index: int, speaker: int) -> str:
    """The file's stem, in the manner of its corpus."""
    place = SPLITS.index(split)
    if corpus in RELEASES:
        return f"common_voice_{lang}_{_CV_FIRST[corpus] + 1_000_000 * place + index:08d}"
    if corpus == "fleurs":
        digest = hashlib.sha256(f"{lang} {split} {index}".encode()).digest()
        return str(10**18 + int.from_bytes(digest[:7], "big"))
    reader = _FIRST_READER.get(corpus, 1000) + speaker
    if corpus == "librispeech":
        return f"{reader}-{20 * reader + index % _BOOKS}-{index:04d}"
    return f"{reader}_{20 * reader + index % _BOOKS}_{index:06d}"


def clip_path(output: Path, corpus: str, lang: str, split: str, name: str) -> Path:
    """Where a clip is written first; FLEURS' clips end up in an archive."""
    if corpus in RELEASES:
        return output / RELEASES[corpus] / lang / "clips" / f"{name}.mp3"
    if corpus == "fleurs":
        return output / STAGING / "fleurs" / lang / split / f"{name}.wav"
    if corpus == "librispeech":
        return _chapter(output, split, name) / f"{name}.flac"
    reader, book, _ = name.split("_")
    folder = _mls_folder(output, corpus, lang) / split / "audio"
    return folder / reader / book / f"{name}.flac"


def write_clip(path: Path, samples: np.ndarray) -> None:
    """Encode by the path's ending, atomically."""
    import soundfile

    kind, subtype = {
        ".mp3": ("MP3", "MPEG_LAYER_III"),
        ".wav": ("WAV", "PCM_16"),
        ".flac": ("FLAC", "PCM_16"),
    }[path.suffix]
    options = {"compression_level": _MP3_COMPRESSION} if kind == "MP3" else {}
    with writing(path, "wb") as stream:
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, SAMPLE_RATE, subtype, format=kind, **options)
        stream.write(buffer.getvalue())


def finish(output: Path, corpus: str, lang: str, records: list[Record]) -> None:
    """Write the tables and archives of one corpus and language."""
    by_split: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_split[record["split"]].append(record)
    if corpus in RELEASES:
        _finish_common_voice(output, corpus, lang, by_split)
    elif corpus == "fleurs":
        _finish_fleurs(output, lang, by_split)
    elif corpus == "librispeech":
        _finish_librispeech(output, by_split)
    else:
        _finish_mls(_mls_folder(output, corpus, lang), by_split)


def _finish_common_voice(
    output: Path, corpus: str, lang: str, by_split: dict[str, list[Record]]
) -> None:
    folder, header = output / RELEASES[corpus] / lang, _CV_HEADERS[corpus]
    tables = {
        split: [_common_voice_row(corpus, record) for record in by_split[split]] for split in SPLITS
    }
    for split in SPLITS:
        write_lines(folder / f"{split}.tsv", [header, *tables[split]])
    everything = [row for split in SPLITS for row in tables[split]]
    write_lines(folder / "validated.tsv", [header, *everything])
    if corpus == "covost2":
        _write_translations(output, lang, by_split)


def _write_translations(output: Path, lang: str, by_split: dict[str, list[Record]]) -> None:
    pairs = [
        f"{record['clip']}.mp3\t{record['translation']}\t{split}"
        for split in SPLITS
        for record in by_split[split]
    ]
    table = output / f"covost_v2.{lang}_{TRANSLATED_TO[lang]}.tsv"
    write_lines(table, ["path\ttranslation\tsplit", *pairs])


def _common_voice_row(corpus: str, record: Record) -> str:
    written = record["written"]
    digest = hashlib.sha512(record["speaker"].encode()).hexdigest()
    known = {
        "client_id": record.get("client_id", digest),  # Common Voice's own look like a digest
        "path": f"{record['clip']}.mp3",
        "sentence_id": hashlib.sha256(written.encode()).hexdigest(),
        "sentence": written,
        "up_votes": "2",
        "down_votes": "0",
        "gender": record["gender"],
        "locale": record["lang"],
    }
    return "\t".join(known.get(column, "") for column in _CV_HEADERS[corpus].split())


def _finish_fleurs(output: Path, lang: str, by_split: dict[str, list[Record]]) -> None:
    folder = output / "fleurs" / "data" / FLEURS_CODES[lang]
    for split in SPLITS:
        write_lines(folder / f"{split}.tsv", map(_fleurs_row, by_split[split]))
        names = [record["clip"] for record in by_split[split]]
        files = [(name, clip_path(output, "fleurs", lang, split, name)) for name in names]
        _pack(folder / "audio" / f"{split}.tar.gz", split, files)
    everything = [record for split in SPLITS for record in by_split[split]]
    write_lines(
        folder / SPEAKERS, [f"{each['clip']}.wav\t{each['speaker']}" for each in everything]
    )


def _fleurs_row(record: Record) -> str:
    text = record["text"]
    letters = " | ".join(" ".join(word) for word in text.split()) + " |"
    return "\t".join(
        [
            str(record["sentence"]),
            f"{record['clip']}.wav",
            record["written"],
            text,
            letters,
            str(record["samples"]),
            record["gender"].upper(),
        ]
    )


def _pack(archive: Path, folder: str, files: list[tuple[str, Path]]) -> None:
    """A tar.gz whose bytes depend on nothing but the clips."""
    with (
        writing(archive, "wb") as stream,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=stream, mtime=0) as zipped,
        tarfile.open(mode="w", fileobj=zipped, format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, path in files:
            member = tarfile.TarInfo(f"{folder}/{name}.wav")
            member.size = os.path.getsize(path)
            with open(path, "rb") as wave:
                tar.addfile(member, wave)


def _mls_folder(output: Path, corpus: str, lang: str) -> Path:
    return output / ("mls" if corpus == "read" else corpus) / f"mls_{MLS_NAMES[lang]}"


def _finish_mls(folder: Path, by_split: dict[str, list[Record]]) -> None:
    for split in SPLITS:
        rows = sorted(f"{record['clip']}\t{record['text']}" for record in by_split[split])
        write_lines(folder / split / "transcripts.txt", rows)


def _chapter(output: Path, split: str, name: str) -> Path:
    """A chapter's folder; readers of odd number are in the part that is harder to understand."""
    reader, chapter, _ = name.split("-")
    part = _TRAIN_PARTS if split == "train" else (f"{split}-clean", f"{split}-other")
    return output / "LibriSpeech" / part[int(reader) % 2] / reader / chapter


def _finish_librispeech(output: Path, by_split: dict[str, list[Record]]) -> None:
    for split in SPLITS:
        chapters: dict[Path, list[str]] = defaultdict(list)
        for record in by_split[split]:
            line = f"{record['clip']} {record['text'].upper()}"
            chapters[_chapter(output, split, record["clip"])].append(line)
        for folder, lines in chapters.items():
            table = f"{folder.parent.name}-{folder.name}.trans.txt"
            write_lines(folder / table, sorted(lines))
