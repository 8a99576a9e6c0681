"""G.722, telephony's wide band: 16 kHz in 64 kbit/s, without header.

libsndfile does not know it. Decoded by FFmpeg: as the wheel `av` brings it, or the program.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from espnet_otreg.errors import UserError, one_line

RATE = 16000
PER_BYTE = 2  # samples
SPARE = 64  # samples that a decoder may withhold


def read_g722(path: Path) -> tuple[np.ndarray, int]:
    """Return (N, 1) float32 and the rate; a ValueError says what is wrong with the file."""
    samples = _decoder()(path)
    expected = PER_BYTE * path.stat().st_size
    if abs(len(samples) - expected) > SPARE:
        raise ValueError(f"{len(samples)} samples decoded instead of {expected}")
    return (samples.astype(np.float32) / 32768)[:, None], RATE


def _decoder() -> Callable[[Path], np.ndarray]:
    try:
        import av  # noqa: F401
    except ImportError:
        if shutil.which("ffmpeg"):
            return _by_program
        raise UserError(
            "G.722 recordings need a decoder, and neither the package av nor the program ffmpeg is "
            "installed: pip install av"
        ) from None
    return _by_wheel


def _by_wheel(path: Path) -> np.ndarray:
    import av

    try:
        with av.open(str(path), format="g722") as container:
            frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    except av.error.FFmpegError as error:
        raise ValueError(one_line(error)) from error
    return np.concatenate(frames) if frames else np.zeros(0, np.int16)


def _by_program(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "g722", "-i", f"file:{path}"]
    done = subprocess.run(
        [*command, "-f", "s16le", "-ac", "1", "-ar", str(RATE), "-"], capture_output=True
    )
    if done.returncode:
        raise ValueError(" ".join(done.stderr.decode(errors="replace").split()))
    return np.frombuffer(done.stdout, "<i2")
