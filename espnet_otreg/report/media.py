"""Pictures and recordings, ready to stand inside a page."""

import base64
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from espnet_otreg.corpora.audio import BadAudio, load_clip
from espnet_otreg.corpora.workers import map_batches
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json
from espnet_otreg.progress import progress

INDEX = "pictures.json"  # of what `stages/gap` drew
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
RATE = 16000
_QUALITY = 0.9  # of libsndfile's variable bit rate, 0 best to 1 smallest: about 27 kbit/s


class Figure(NamedTuple):
    """A figure of the whole experiment."""

    source: str  # data URI
    title: str
    caption: str


class Picture(NamedTuple):
    """A picture of one utterance by one system."""

    key: str  # <set>/<utterance>
    system: str
    kind: str
    source: str


class Drawn(NamedTuple):
    """All of one folder."""

    figures: list[Figure]
    pictures: list[Picture]


def data_uri(path: Path) -> str:
    """Hold a picture's file as an address."""
    if path.suffix not in _TYPES:
        raise UserError(f"{path}: a page shows {', '.join(_TYPES)}, not {path.suffix!r}")
    if not path.is_file():
        raise UserError(f"{path} is listed but not there: draw again by stages/gap")
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_TYPES[path.suffix]};base64,{content}"


def read_index(folder: Path) -> dict[str, Any]:
    """Read which pictures and figures a folder holds."""
    if not (folder / INDEX).is_file():
        raise UserError(
            f"{folder / INDEX} does not exist: make it by stages/gap, or leave --gap out"
        )
    return read_json(folder / INDEX)


def read_drawn(folder: Path | None) -> Drawn:
    """Read a folder's index and every file that it lists; no folder has no pictures."""
    if folder is None:
        return Drawn([], [])
    index = read_index(folder)
    figures = [
        Figure(data_uri(folder / file), title, caption)
        for file, title, caption in _texts(folder, index, "figures", ("file", "title", "caption"))
    ]
    keys = ("set", "utterance", "system", "kind", "file")
    pictures = [
        Picture(f"{set_name}/{utterance}", system, kind, data_uri(folder / file))
        for set_name, utterance, system, kind, file in _texts(folder, index, "pictures", keys)
    ]
    return Drawn(figures, pictures)


def _texts(
    folder: Path, index: dict[str, Any], part: str, keys: Sequence[str]
) -> Iterator[list[str]]:
    """Yield the texts of each entry; a file lies inside the folder."""
    entries = index.get(part)
    for entry in entries if isinstance(entries, list) else [entries]:
        found = entry if isinstance(entry, dict) else {}
        texts = [found[key] for key in keys if isinstance(found.get(key), str)]
        if len(texts) < len(keys):
            raise UserError(
                f"{folder / INDEX}: {part} should be a list of {', '.join(keys)} in texts; draw "
                "again by stages/gap"
            )
        file = found["file"]
        if os.path.isabs(file) or ".." in Path(file).parts:
            raise UserError(f"{folder / INDEX}: {file!r} points outside; draw again")
        yield texts


class Packed(NamedTuple):
    """One recording as text, or why there is none."""

    key: str
    content: str  # base64 of the MP3
    problem: str


def pack_clips(audio: Mapping[str, Path], nj: int) -> Iterator[Packed]:
    """Encode recordings in parallel, in order."""
    jobs = sorted(audio.items())
    if not jobs:
        return
    with progress("audio", "clip", len(jobs)) as bar:
        for batch in map_batches(_pack_batch, jobs, None, min(nj, len(jobs))):
            bar.update(len(batch))
            yield from batch


def _pack_batch(jobs: Sequence[tuple[str, Path]], _: None) -> list[Packed]:
    return [_pack(key, path) for key, path in jobs]


def _pack(key: str, path: Path) -> Packed:
    try:
        samples = load_clip(path, RATE).samples
    except BadAudio as error:
        return Packed(key, "", str(error))
    return Packed(key, base64.b64encode(_mp3(samples)).decode("ascii"), "")


def _mp3(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    small = {"bitrate_mode": "VARIABLE", "compression_level": _QUALITY}
    soundfile.write(buffer, samples, RATE, format="MP3", subtype="MPEG_LAYER_III", **small)
    return buffer.getvalue()
