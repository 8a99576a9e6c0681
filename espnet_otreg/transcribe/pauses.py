"""Where a long recording is cut: in the pauses, so that a model hears no more than it learned to.

Stretches follow each other without a gap: nothing is left out. Pauses are found by WebRTC's voice
activity detector where the package webrtcvad-wheels is installed, else by loudness.
"""

import importlib
import logging
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

FRAME = 0.03  # seconds; WebRTC's detector takes 10, 20 and 30 ms
VAD_RATE = 16000  # of the rates that it takes
AGGRESSIVENESS = 2  # 0 to 3: how readily it calls a frame silent
_QUIET, _LOUD, _SHARE = 20, 95, 0.25  # percentiles of loudness, and where between them speech is


def cut(samples: np.ndarray, rate: int, longest: float) -> list[tuple[int, int]]:
    """Return the stretches (start, end) of a recording, none longer than `longest` seconds.

    A recording that is short enough is one stretch. Else each stretch ends in the middle of the
    longest pause of its second half; where there is none, at its quietest moment.
    """
    most = int(longest * rate)
    if len(samples) <= most:
        return [(0, len(samples))]
    size = int(FRAME * rate)
    speech, loudness = speech_frames(samples, rate), _loudness(samples, size)
    cuts = [0]
    while len(samples) - cuts[-1] > most:
        first, last = -(-(cuts[-1] + most // 2) // size), (cuts[-1] + most) // size
        place = _pause(speech[first:last])
        if place is None:
            place = int(loudness[first:last].argmin())
        cuts.append((first + place) * size)
    return list(zip(cuts, [*cuts[1:], len(samples)], strict=True))


def speech_frames(samples: np.ndarray, rate: int) -> np.ndarray:
    """Tell which whole frames of a recording are speech."""
    size = int(FRAME * rate)
    count = len(samples) // size
    detector = _detector()
    if detector is None:
        loudness = _loudness(samples, size)
        low, high = np.percentile(loudness, [_QUIET, _LOUD])
        return loudness > low + _SHARE * (high - low)
    import soxr

    wave = samples if rate == VAD_RATE else soxr.resample(samples, rate, VAD_RATE)
    whole = np.zeros(count * int(FRAME * VAD_RATE), np.float32)
    whole[: len(wave)] = wave[: len(whole)]
    frames = (np.clip(whole, -1, 1) * 32767).astype("<i2").reshape(count, -1)
    return np.array([detector.is_speech(frame.tobytes(), VAD_RATE) for frame in frames], bool)


def _pause(speech: np.ndarray) -> int | None:
    """Return the middle of the longest run without speech, the last of equals."""
    best, place, at = 0, None, 0
    for talking, run in groupby(speech.tolist()):
        length = sum(1 for _ in run)
        if not talking and length >= best:
            best, place = length, at + length // 2
        at += length
    return place


def _loudness(samples: np.ndarray, size: int) -> np.ndarray:
    """Return decibels of each whole frame."""
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    return 10 * np.log10((frames**2).mean(1) + 1e-10)


@cache
def _find_module() -> Any:
    try:
        return importlib.import_module("webrtcvad")
    except ImportError:
        logging.warning(
            "pauses of long recordings are found by loudness: pip install "
            "'espnet_otreg[transcribe]' for a voice activity detector"
        )
        return None


def _detector() -> Any:
    """Make a new detector, as it adapts to what it has heard; None where there is none."""
    module = _find_module()
    return None if module is None else module.Vad(AGGRESSIVENESS)
