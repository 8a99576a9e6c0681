"""Where the real corpora keep what: clip files, tables, archives.

`covost2` is Common Voice 4 with CoVoST-2 tables beside it, `fleurs` is FLEURS, all others have the
layout of Multilingual LibriSpeech: `read` in `mls/`, the graded ones in folders of their own names.
Two liberties: the MP3 clips are 16 kHz (Common Voice 4: 48 kHz), and English is translated into
Spanish, a pair that the real CoVoST-2 does not have.
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

from espnet_otreg.corpora.mini.grammar import SPLITS
from espnet_otreg.corpora.mini.render import SAMPLE_RATE
from espnet_otreg.files import write_lines, writing

COMMON_VOICE = "cv-corpus-4-2019-12-10"
FLEURS_CODES = {"en": "en_us", "es": "es_419", "fr": "fr_fr"}
MLS_NAMES = {"en": "english", "es": "spanish", "fr": "french"}
TRANSLATED_TO = {"en": "es", "es": "en", "fr": "en"}
STAGING = ".work"
_MP3_COMPRESSION = 0.5  # about 56 kbit/s
_CV_HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"
_BOOKS = 4  # per speaker

Record = dict[str, Any]  # one clip as `build` describes it


def clip_name(corpus: str, lang: str, split: str, index: int, speaker: int) -> str:
    """The file's stem, in the manner of its corpus."""
    place = SPLITS.index(split)
    if corpus == "covost2":
        return f"common_voice_{lang}_{17_000_000 + 1_000_000 * place + index:08d}"
    if corpus == "fleurs":
        digest = hashlib.sha256(f"{lang} {split} {index}".encode()).digest()
        return str(10**18 + int.from_bytes(digest[:7], "big"))
    reader = 1000 + speaker
    return f"{reader}_{20 * reader + index % _BOOKS}_{index:06d}"


def clip_path(output: Path, corpus: str, lang: str, split: str, name: str) -> Path:
    """Where a clip is written first; FLEURS' clips end up in an archive."""
    if corpus == "covost2":
        return output / COMMON_VOICE / lang / "clips" / f"{name}.mp3"
    if corpus == "fleurs":
        return output / STAGING / "fleurs" / lang / split / f"{name}.wav"
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
    if corpus == "covost2":
        _finish_covost2(output, lang, by_split)
    elif corpus == "fleurs":
        _finish_fleurs(output, lang, by_split)
    else:
        _finish_mls(_mls_folder(output, corpus, lang), by_split)


def _finish_covost2(output: Path, lang: str, by_split: dict[str, list[Record]]) -> None:
    folder = output / COMMON_VOICE / lang
    tables = {split: [_common_voice_row(record) for record in by_split[split]] for split in SPLITS}
    for split in SPLITS:
        write_lines(folder / f"{split}.tsv", [_CV_HEADER, *tables[split]])
    everything = [row for split in SPLITS for row in tables[split]]
    write_lines(folder / "validated.tsv", [_CV_HEADER, *everything])
    pairs = [
        f"{record['clip']}.mp3\t{record['translation']}\t{split}"
        for split in SPLITS
        for record in by_split[split]
    ]
    table = output / f"covost_v2.{lang}_{TRANSLATED_TO[lang]}.tsv"
    write_lines(table, ["path\ttranslation\tsplit", *pairs])


def _common_voice_row(record: Record) -> str:
    client = hashlib.sha512(record["speaker"].encode()).hexdigest()
    name = f"{record['clip']}.mp3"
    return "\t".join([client, name, record["written"], "2", "0", "", record["gender"], ""])


def _finish_fleurs(output: Path, lang: str, by_split: dict[str, list[Record]]) -> None:
    folder = output / "fleurs" / "data" / FLEURS_CODES[lang]
    for split in SPLITS:
        write_lines(folder / f"{split}.tsv", map(_fleurs_row, by_split[split]))
        names = [record["clip"] for record in by_split[split]]
        files = [(name, clip_path(output, "fleurs", lang, split, name)) for name in names]
        _pack(folder / "audio" / f"{split}.tar.gz", split, files)


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
