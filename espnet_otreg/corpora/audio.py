"""One recording: decode, mix down, resample, and encode as 16 bit."""

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from espnet_otreg.corpora import mpeg
from espnet_otreg.corpora.truncation import look_at_end
from espnet_otreg.errors import UserError

FULL_SCALE = 32768  # so that 16-bit sources at the right rate come back bit for bit
SPARE = 3  # MP3 frames that decoders may withhold: their delay, and what fills the last frame


class BadAudio(Exception):
    """A recording that cannot be used; the message is the reason, category first."""


class Clip(NamedTuple):
    """Samples ready to be stored, and harmless things worth a count."""

    samples: np.ndarray  # (N,) int16
    notes: tuple[str, ...]


def load_clip(path: Path, fs: int, speed: float = 1.0) -> Clip:
    """Decode a recording to mono at `fs`; `speed` 0.9 makes it longer and lower, as sox does."""
    signal, rate = _decode(path)
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
    scaled = np.rint(mono * FULL_SCALE)
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
    except soundfile.SoundFileError as error:
        raise UserError(f"{path} cannot be read ({error}): format the set again.") from error


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Return (N, channels) float32 and the rate, or raise BadAudio."""
    try:
        if not path.is_file():
            raise BadAudio(f"missing: {path}")
        if not path.stat().st_size:
            raise BadAudio(f"empty: 0 bytes in {path}")
        missing, walked = look_at_end(path)
        if missing:
            raise BadAudio(f"truncated: {missing} in {path}")
        signal, rate = _read_mp3(path, walked) if walked else _read(str(path))
    except (soundfile.SoundFileError, OSError, MemoryError) as error:
        raise BadAudio(f"unreadable: {path}: {error}") from error
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


def _read(file: str | io.BytesIO) -> tuple[np.ndarray, int]:
    return soundfile.read(file, dtype="float32", always_2d=True)


def _read_mp3(path: Path, walked: mpeg.Walk) -> tuple[np.ndarray, int]:
    """Decode an MP3 whose length the decoder guesses; where it guesses wrong, tell it."""
    with contextlib.suppress(soundfile.SoundFileError):  # it went on into what follows the frames
        signal, rate = _read(str(path))
        if not _falls_short(signal, walked):
            return signal, rate
    return _read(io.BytesIO(mpeg.with_count(path.read_bytes(), walked)))


def _falls_short(signal: np.ndarray, walked: mpeg.Walk) -> bool:
    return len(signal) < walked.samples - SPARE * walked.per_frame
