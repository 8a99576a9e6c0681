"""One recording: decode, mix down, resample, and encode as 16 bit."""

import contextlib
import io
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from espnet_otreg.corpora import mpeg
from espnet_otreg.corpora.g722 import read_g722
from espnet_otreg.corpora.record import split_span
from espnet_otreg.corpora.truncation import Ending, look_at_end
from espnet_otreg.errors import UserError

FULL_SCALE = 32768  # so that 16-bit sources at the right rate come back bit for bit
RATES = range(1000, 1_000_001)  # Hz; from 1 Hz to 16 kHz a file grows beyond any memory
PER_BYTE = 64  # samples: speech has a few in MP3, silence in FLAC can have more
BLOCK = 1 << 16  # frames
LATE = 0.1  # seconds that a part may end after its recording: tables round
SPARE = 3  # MP3 frames that decoders may withhold: their delay, and what fills the last frame

# Beside its own errors soundfile raises a TypeError for *.raw, which is no recording by itself, and
# a ValueError for a path that no file can have.
UNOPENED = (TypeError, ValueError)


class BadAudio(Exception):
    """A recording that cannot be used; the message is the reason, category first."""


class Clip(NamedTuple):
    """Samples ready to be stored, and harmless things worth a count."""

    samples: np.ndarray  # (N,) int16
    notes: tuple[str, ...]


def load_clip(path: Path, fs: int, speed: float = 1.0) -> Clip:
    """Decode a recording to mono at `fs`; `speed` 0.9 makes it longer and lower, as sox does.

    Of `path#t=1.5,3` the part between these seconds.
    """
    name, start, end = split_span(str(path))
    if name == str(path):
        signal, rate = _decode(path)
    else:
        signal, rate = _part(name, start, end)
    notes = []
    if signal.shape[1] > 1:
        notes.append(f"{signal.shape[1]} channels mixed down")
    mono = signal.mean(axis=1) if signal.shape[1] > 1 else signal[:, 0]
    if rate != fs:
        notes.append(f"resampled from {rate} Hz")
    if rate * speed != fs:
        mono = soxr.resample(mono, rate * speed, fs)
    if not len(mono):
        raise BadAudio(f"empty: nothing is left at {fs} Hz")
    if not np.isfinite(mono).all():  # sums of huge samples
        raise BadAudio(f"not a number: NaN or Inf samples in {path}")
    scaled = np.rint(np.clip(mono, -FULL_SCALE, FULL_SCALE) * FULL_SCALE)
    if scaled.max() > FULL_SCALE or scaled.min() < -FULL_SCALE:
        notes.append("clipped")
    return Clip(np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16), tuple(notes))


def encode(samples: np.ndarray, fs: int, audio_format: str) -> bytes:
    """Encode in memory: a full disk then shows up where the bytes are written, as an OSError."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, fs, format=audio_format.upper(), subtype="PCM_16")
    return buffer.getvalue()


def rate_of(path: Path) -> int:
    """Return a recording's sampling rate."""
    try:
        return int(soundfile.info(str(path)).samplerate)
    except (soundfile.SoundFileError, *UNOPENED) as error:
        raise UserError(f"{path} cannot be read ({error}): format the set again.") from error


def _part(name: str, start: float, end: float | None) -> tuple[np.ndarray, int]:
    """Cut a part out of a recording; one that would go on after the end is refused."""
    try:
        stamp = os.stat(name).st_mtime_ns
    except OSError as error:
        raise BadAudio(f"missing: {name}") from error
    whole, rate = _decode_again(name, stamp)
    if end is not None and end > len(whole) / rate + LATE:
        raise BadAudio(f"too short: {name} ends before {end:g} s, at {len(whole) / rate:.2f} s")
    part = whole[round(start * rate) : None if end is None else round(end * rate)]
    if not len(part):
        raise BadAudio(f"empty: nothing at {start:g} s of {name}")
    return part, rate


@lru_cache(maxsize=1)  # the parts of a long recording come one after the other
def _decode_again(name: str, stamp: int) -> tuple[np.ndarray, int]:
    return _decode(Path(name))


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Return (N, channels) float32 and the rate, or raise BadAudio."""
    try:
        if not path.is_file():
            raise BadAudio(f"missing: {path}")
        if not path.stat().st_size:
            raise BadAudio(f"empty: 0 bytes in {path}")
        headless = path.suffix == ".g722"  # its first bytes may look like anything
        missing, walked = Ending("") if headless else look_at_end(path)
        if missing:
            raise BadAudio(f"truncated: {missing} in {path}")
        if headless:
            signal, rate = read_g722(path)
        else:
            size = path.stat().st_size
            signal, rate = _read_mp3(path, walked) if walked else _read(str(path), size)
    except UserError:  # a decoder is absent: no fault of the recording
        raise
    except (soundfile.SoundFileError, OSError, MemoryError, *UNOPENED) as error:
        raise BadAudio(f"unreadable: {path}: {error}") from error
    if rate not in RATES:
        raise BadAudio(
            f"unusable sampling rate: {rate} Hz in {path}, expected {RATES[0]} to {RATES[-1]} Hz"
        )
    if not len(signal):
        raise BadAudio(f"empty: 0 samples in {path}")
    if walked and _falls_short(signal, walked):
        raise BadAudio(
            f"incompletely decoded: {len(signal)} of {walked.samples} samples of {path}; convert "
            "it to FLAC or WAV"
        )
    if not np.isfinite(signal).all():
        raise BadAudio(f"not a number: NaN or Inf samples in {path}")
    return signal, rate


def _read(file: str | io.BytesIO, size: int) -> tuple[np.ndarray, int]:
    """Decode a file of `size` bytes; where its header claims more than that can hold, in blocks.

    A claim is allocated and filled with zeros before it is found wrong. MP3 cannot go in blocks as
    a rule: each starts the decoder anew, with other samples.
    """
    with soundfile.SoundFile(file) as sound:
        rate, most = sound.samplerate, PER_BYTE * size + BLOCK
        count = BLOCK if sound.frames * sound.channels > most else -1
        blocks = [sound.read(count, dtype="float32", always_2d=True)]
        while len(blocks[-1]) == count:
            blocks.append(sound.read(count, dtype="float32", always_2d=True))
        return (np.concatenate(blocks) if len(blocks) > 1 else blocks[0]), rate


def _read_mp3(path: Path, walked: mpeg.Walk) -> tuple[np.ndarray, int]:
    """Decode an MP3 whose length the decoder guesses; where it guesses wrong, tell it."""
    with contextlib.suppress(soundfile.SoundFileError):  # it went on into what follows the frames
        signal, rate = _read(str(path), path.stat().st_size)
        if not _falls_short(signal, walked):
            return signal, rate
    content = mpeg.with_count(path.read_bytes(), walked)
    return _read(io.BytesIO(content), len(content))


def _falls_short(signal: np.ndarray, walked: mpeg.Walk) -> bool:
    return len(signal) < walked.samples - SPARE * walked.per_frame
