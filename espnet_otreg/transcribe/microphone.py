"""Recording from the default microphone into a WAV file, by the package sounddevice.

The file has the microphone's own rate: it is resampled when it is read, like any other.
"""

import logging
import select
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing

BLOCK = 0.1  # seconds between two looks whether Enter was pressed
_INSTEAD = "or record by other means and give the file"


class Microphone:
    """The default input of this machine.

    Args:
        seconds: after which a recording ends; None: when Enter is pressed
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._terminal = sys.stdin is not None and sys.stdin.isatty()
        if seconds is None and not self._terminal:
            raise UserError(
                "--microphone ends when Enter is pressed, and standard input is no terminal: give "
                "--seconds"
            )
        self._library = _library()
        try:
            found = self._library.query_devices(kind="input")
        except (self._library.PortAudioError, ValueError) as error:
            raise UserError(
                f"no microphone was found ({error}): plug one in, choose a default input in the "
                f"system's sound settings, {_INSTEAD}"
            ) from error
        self.name, self.rate = str(found["name"]), int(found["default_samplerate"])

    def record(self, path: Path) -> None:
        """Write what is said now; what came before a failure of the device is kept."""
        frames = left = 0
        if self.seconds is not None:
            left = round(self.seconds * self.rate)
        block = max(1, round(BLOCK * self.rate))
        lost, loudest = 0, 0
        with (
            writing(path, "wb") as stream,
            soundfile.SoundFile(stream, "w", self.rate, 1, "PCM_16", format="WAV") as output,
        ):
            try:
                with self._library.InputStream(
                    samplerate=self.rate, channels=1, dtype="int16"
                ) as heard:
                    self._tell()
                    while self.seconds is None or frames < left:
                        count = block if self.seconds is None else min(block, left - frames)
                        samples, overflowed = heard.read(count)
                        output.write(samples)
                        frames, lost = frames + len(samples), lost + bool(overflowed)
                        loudest = max(loudest, int(np.abs(samples.astype(np.int32)).max()))
                        if self._terminal and _enter():
                            break
            except self._library.PortAudioError as error:
                if not frames:
                    raise UserError(
                        f"{self.name} cannot be recorded ({error}): close what else uses it, "
                        f"{_INSTEAD}"
                    ) from error
                logging.warning("%s failed after %.1f s: %s", self.name, frames / self.rate, error)
        if lost:
            logging.warning("samples were lost %d times, since the machine was busy", lost)
        if not loudest:
            logging.warning("%s gave nothing but silence: is it muted?", self.name)

    def _tell(self) -> None:
        if self._terminal:  # what was typed while the model was loaded ends nothing
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
        ends = ["Enter ends it"] if self._terminal else []
        ends += [f"it ends after {self.seconds:g} s"] if self.seconds is not None else []
        logging.info("recording from %s; %s", self.name, ", or ".join(ends))


def _library() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise UserError(
            "--microphone needs the package sounddevice: pip install 'espnet_otreg[microphone]', "
            f"{_INSTEAD}"
        ) from error
    except OSError as error:  # it loads PortAudio when it is imported
        raise UserError(
            f"sounddevice does not find PortAudio ({error}): install it, as by apt-get install "
            f"libportaudio2, {_INSTEAD}"
        ) from error
    return sounddevice


def _enter() -> bool:
    """Say whether a line waits in the terminal, and take it."""
    waits = bool(select.select([sys.stdin], [], [], 0)[0])
    if waits:
        sys.stdin.readline()
    return waits
