"""Recordings as a model hears them, alone or in padded batches, and greedy CTC decoding of those.

Nothing here depends on the batch neighbours, but ESPnet's convolutional encoders do: their
convolutions run over padding. So commands decode one utterance at a time unless told otherwise.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from espnet_otreg.compat import ESPnetASRModel
from espnet_otreg.errors import UserError

FRAMES = ".npy"  # how files of cached frames end


def ctc_greedy(model: ESPnetASRModel, speech: Tensor, speech_lengths: Tensor) -> list[list[int]]:
    """Return each utterance's token ids: best per frame, repeats merged, blanks removed.

    Args:
        model: any ESPnet ASR model with a CTC branch, in evaluation mode
        speech: (B, samples), padded with zeros
        speech_lengths: (B,)
    """
    if model.ctc is None:
        raise UserError(
            "the model has no CTC branch (ctc_weight: 0): use --inference_method beam, "
            "or train with ctc_weight above 0"
        )
    with torch.inference_mode():
        frames, lengths = model.encode(speech, speech_lengths)
        frames = frames[0] if isinstance(frames, tuple) else frames  # inter-CTC
        best = model.ctc.argmax(frames)  # (B, T)
    # a frame opens a token where it is no pad, no blank and unlike the frame before
    valid = torch.arange(best.shape[1], device=best.device) < lengths.to(best.device)[:, None]
    opens = valid & (best != model.blank_id)
    opens[:, 1:] &= best[:, 1:] != best[:, :-1]
    return [row[mask].tolist() for row, mask in zip(best.cpu(), opens.cpu(), strict=True)]


def padded_batches(
    audio: Mapping[str, str], batch_size: int, device: str
) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """Yield utterances, speech (B, samples) padded with zeros, and lengths (B,).

    Of `.npy` files, which hold a pretrained frontend's frames, speech is (B, T, D). The longest
    utterances come first, so that batches pad little.
    """
    order = sorted(audio, key=lambda utt: -_length(audio[utt]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        clips = [torch.from_numpy(_heard(audio[utt])) for utt in batch]
        lengths = torch.tensor([len(clip) for clip in clips])
        speech = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        yield batch, speech.to(device), lengths.to(device)


def _length(path: str) -> int:
    if path.endswith(FRAMES):
        return len(np.load(path, mmap_mode="r"))
    return int(soundfile.info(path).frames)


def _heard(path: str) -> np.ndarray:
    if path.endswith(FRAMES):
        return np.load(path).astype(np.float32)
    return soundfile.read(path, dtype="float32")[0]


def read_recording(speech: str | Path | np.ndarray | Tensor, rate: int) -> np.ndarray:
    """Return samples (N,); a file is resampled, an array is taken as it is."""
    if isinstance(speech, Tensor):
        return speech.detach().cpu().float().numpy()
    if isinstance(speech, np.ndarray):
        return speech.astype(np.float32, copy=False)
    import soxr

    try:
        samples, found = soundfile.read(speech, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{speech} cannot be read: {error}") from error
    mono = np.ascontiguousarray(samples.mean(1))
    return mono if found == rate else soxr.resample(mono, found, rate)
