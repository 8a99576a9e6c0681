"""One recording as a model hears it: mono, float32, at the rate it was trained on."""

from pathlib import Path

import numpy as np
from torch import Tensor

from espnet_otreg.errors import UserError


def read_recording(speech: str | Path | np.ndarray | Tensor, rate: int) -> np.ndarray:
    """Return samples (N,); a file is resampled, an array is taken as it is."""
    if isinstance(speech, Tensor):
        return speech.detach().cpu().float().numpy()
    if isinstance(speech, np.ndarray):
        return speech.astype(np.float32, copy=False)
    import soundfile
    import soxr

    try:
        samples, found = soundfile.read(speech, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{speech} cannot be read: {error}") from error
    mono = np.ascontiguousarray(samples.mean(1))
    return mono if found == rate else soxr.resample(mono, found, rate)
