"""The model behind the page: loaded once, in the background, and asked one thing at a time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet_otreg.demo import SILENT, loudest, named, told
from espnet_otreg.errors import UserError
from espnet_otreg.transcribe import Recogniser

WAITING = 8  # recordings that may wait for the one that is being transcribed


class RefusedError(Exception):
    """A recording that is not transcribed; the message is for the page."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # of HTTP


class Opened(NamedTuple):
    """A model that is ready."""

    recogniser: Recogniser
    languages: tuple[str, ...] = ()  # that it lists; empty: unknown
    needs_language: bool = False
    plans: str = ""  # what its pictures show, or why there are none


@dataclass(frozen=True)
class Limits:
    """What the page takes."""

    megabytes: float = 100.0  # of a file
    minutes: float = 60.0  # of a recording
    longest: float = 20.0  # seconds of a stretch


class Service:
    """Answers the page.

    Args:
        model: its name, for people
        open_model: opens it; called once, in `load`
        language: that is chosen at first
        limits: of recordings
    """

    def __init__(
        self,
        model: str,
        open_model: Callable[[], Opened],
        language: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.model, self.language, self.limits = model, language, limits or Limits()
        self._open = open_model
        self._opened: Opened | None = None
        self._lock = threading.Lock()  # held by who uses the model
        self._places = threading.BoundedSemaphore(WAITING + 1)

    def load(self) -> None:
        """Open the model; recordings are refused until then."""
        opened = self._open()
        if self.language is not None:
            opened.recogniser.check(self.language)
        self._opened = opened

    def status(self) -> dict[str, Any]:
        """Say what the page must know before the first recording."""
        facts: dict[str, Any] = {
            "model": self.model,
            "ready": self._opened is not None,
            "language": self.language,
            "megabytes": self.limits.megabytes,
            "minutes": self.limits.minutes,
        }
        if self._opened is not None:
            facts["languages"] = named(self._opened.languages)
            facts["needs_language"] = self._opened.needs_language
            facts["plans"] = self._opened.plans
        return facts

    def transcribe(self, path: Path, name: str, language: str | None) -> dict[str, Any]:
        """Transcribe a file that was uploaded under a name, or raise RefusedError."""
        opened = self._opened
        if opened is None:
            raise RefusedError(503, "The model is still loading: try again in a moment.")
        if not self._places.acquire(blocking=False):
            raise RefusedError(503, "Too many recordings are waiting: try again in a moment.")
        try:
            with self._lock:
                return self._transcribe(opened.recogniser, path, name, language)
        except UserError as error:  # such as a language that the model does not know
            raise RefusedError(400, _sentence(str(error))) from error
        finally:
            self._places.release()

    def _transcribe(
        self, recogniser: Recogniser, path: Path, name: str, language: str | None
    ) -> dict[str, Any]:
        from espnet_otreg.transcribe.recordings import Recording
        from espnet_otreg.transcribe.running import transcribe

        recogniser.check(language)
        samples = self._read(path, name, recogniser.rate)
        recording = Recording(path, name)
        ((_, outcome),) = transcribe(recogniser, [recording], language, longest=self.limits.longest)
        if isinstance(outcome, str):
            raise _rejected(outcome, path, name)
        return told(outcome, samples, recogniser.rate, name)

    def _read(self, path: Path, name: str, rate: int) -> np.ndarray:
        """Read a recording that is neither too long nor silent."""
        from espnet_otreg.corpora.audio import BadAudio
        from espnet_otreg.transcribe.recordings import read

        self._check_minutes(path)
        try:
            samples = read(path, rate)
        except BadAudio as error:
            raise _rejected(str(error), path, name) from error
        self._refuse_longer(len(samples) / rate)
        if np.abs(samples).max(initial=0.0) < SILENT:
            raise RefusedError(
                422,
                f"{name} is silent: its loudest sample is {loudest(samples):.0f} dB below full "
                "scale. Is the right microphone chosen, and is it on?",
            )
        return samples

    def _check_minutes(self, path: Path) -> None:
        """Refuse by what the file's head says, before it is decoded."""
        import soundfile

        from espnet_otreg.corpora.audio import PER_BYTE, UNOPENED

        try:
            head = soundfile.info(str(path))
        except (soundfile.SoundFileError, *UNOPENED):
            return  # reading it will tell
        if head.frames <= PER_BYTE * path.stat().st_size:  # else the head is wrong
            self._refuse_longer(head.frames / max(head.samplerate, 1))

    def _refuse_longer(self, seconds: float) -> None:
        if seconds > 60 * self.limits.minutes:
            raise RefusedError(
                413,
                f"The recording lasts {seconds / 60:.0f} minutes, and the page takes up to "
                f"{self.limits.minutes:g}: use espnet-otreg transcribe, or give --max_minutes.",
            )


def _rejected(reason: str, path: Path, name: str) -> RefusedError:
    """Say why; 415 alone tells the page that another decoder may be tried."""
    status = 415 if reason.startswith("unreadable") else 422
    return RefusedError(status, _sentence(reason.replace(str(path), name)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
