"""Recordings small enough to travel inside a page: MP3, which every browser plays."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from espnet_otreg.corpora.audio import BadAudio, load_clip
from espnet_otreg.corpora.workers import map_batches
from espnet_otreg.progress import progress

RATE = 16000
_QUALITY = 0.9  # of libsndfile's variable bit rate, 0 best to 1 smallest: about 27 kbit/s


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
