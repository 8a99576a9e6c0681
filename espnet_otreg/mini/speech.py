"""eSpeak NG through ctypes: words in, samples and the true start of each word out."""

import _ctypes
import ctypes
import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from espnet_otreg.errors import UserError

RATE = 22050  # what eSpeak NG speaks
VOICES = {"en": "en-us", "es": "es", "fr": "fr"}
_WORD, _LAST = 1, 0  # event types
_SPEED, _PITCH, _RANGE = 1, 3, 4  # parameters
_SYNCHRONOUS, _UTF8, _BUFFER_MS = 2, 1, 2000  # the asynchronous mode sleeps 16 ms a sentence
# English dictionaries join pairs such as "in the" into one event; a bar keeps the words apart
# without a pause.
_BAR = " | "


class Spoken(NamedTuple):
    """One utterance as the synthesiser gave it."""

    samples: np.ndarray  # float32 in [-1, 1], at RATE
    starts: list[int]  # sample at which each word begins


class Synthesiser(Protocol):
    """What speaks: eSpeak NG here, other voices in `natural/`."""

    def say(
        self, words: list[str], lang: str, variant: str, *, rate: int, pitch: int, intonation: int
    ) -> Spoken:
        """Speak words, or phrases, with a voice that the synthesiser knows as `variant`."""


class _Identity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Speaker:
    """The synthesiser; one per process at a time. `restart()` makes what follows repeatable."""

    def __init__(self) -> None:
        self._library_path, data = _find_espeak()
        self._data = str(data.parent).encode()  # eSpeak NG wants the folder above
        self._variants = data / "voices" / "!v"
        self._audio: list[np.ndarray] = []
        self._events: list[tuple[int, int]] = []
        self._callback = _Callback(self._receive)  # kept: C holds the pointer only
        self._library: Any = None
        self.restart()

    def restart(self) -> None:
        """Back to the state of a fresh process, with a fixed seed.

        eSpeak NG keeps oscillator state in static variables that no call resets, so the same
        sentence sounds a little different the second time: unloading the library resets them.
        And it seeds the breath noise of some voices from the clock whenever it starts.
        """
        self.close()
        if _is_loaded(self._library_path):
            raise RuntimeError(
                f"{self._library_path} is in use elsewhere in this process, so its state cannot be "
                "reset; close() the other Speaker first"
            )
        library = ctypes.CDLL(self._library_path)
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint,
            ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        rate = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, self._data, 0)
        if rate != RATE:
            raise UserError(
                f"eSpeak NG did not start (it answered {rate}, expected {RATE}); "
                "reinstall it: pip install --force-reinstall espeakng-loader"
            )
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        library.espeak_SetSynthCallback(self._callback)
        self._library = library

    def close(self) -> None:
        """Unload the library."""
        if self._library is not None:
            self._library.espeak_Terminate()
            handle, self._library = self._library._handle, None
            _ctypes.dlclose(handle)

    def say(
        self, words: list[str], lang: str, variant: str, *, rate: int, pitch: int, intonation: int
    ) -> Spoken:
        """Speak words; `variant` is one of eSpeak NG's voice variants, such as "f3"."""
        voice = f"{VOICES[lang]}+{variant}"
        # an unknown variant is no error for eSpeak NG: it would speak with its plain voice
        exists = (self._variants / variant).is_file()
        if not exists or self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(
                f"eSpeak NG has no voice {voice!r}; the variants are the files in {self._variants}"
            )
        for parameter, value in ((_SPEED, rate), (_PITCH, pitch), (_RANGE, intonation)):
            self._library.espeak_SetParameter(parameter, value, 0)
        barred = set(range(1, len(words))) if lang == "en" else set()
        samples, starts = self._speak(words, barred)
        missing = [index for index, start in enumerate(starts) if start is None]
        if missing:
            samples, starts = self._speak(words, barred | set(missing))
        known = [start for start in starts if start is not None]
        if len(known) < len(words):
            raise UserError(f"eSpeak NG gave no time for a word of {' '.join(words)!r} in {lang}")
        return Spoken(samples, known)

    def _speak(self, words: list[str], barred: set[int]) -> tuple[np.ndarray, list[int | None]]:
        """Speak with a bar before the words in `barred`; None for words without an event."""
        self._audio.clear()
        self._events.clear()
        text, offsets = "", []
        for index, word in enumerate(words):
            text += "" if index == 0 else _BAR if index in barred else " "
            offsets.append((len(text), len(text) + len(word)))
            text += word
        data = text.encode()
        if self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None) != 0:
            raise UserError(f"eSpeak NG refused the text {text!r}")
        samples = np.concatenate(self._audio).astype(np.float32) / 32768
        # a word such as "l'école" has several events: the first counts
        starts = [
            min((at for place, at in self._events if begin <= place < end), default=None)
            for begin, end in offsets
        ]
        return samples, starts

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            self._audio.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != _LAST:
            if events[index].type == _WORD:  # text positions count characters from 1
                self._events.append((events[index].text_position - 1, events[index].sample))
            index += 1
        return 0


def _is_loaded(path: str) -> bool:
    try:
        library = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
    except OSError:
        return False
    _ctypes.dlclose(library._handle)
    return True


def _find_espeak() -> tuple[str, Path]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError(
            "the mini corpora are spoken by eSpeak NG, which is not installed; "
            "fix: pip install espnet_otreg[mini]"
        ) from error
    return espeakng_loader.get_library_path(), Path(espeakng_loader.get_data_path())
