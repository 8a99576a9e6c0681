"""Reading recordings in padded batches."""

from collections.abc import Iterator, Mapping

import soundfile
import torch
from torch import Tensor


def padded_batches(
    audio: Mapping[str, str], batch_size: int, device: str
) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """Yield utterances, speech (B, samples) padded with zeros, and lengths (B,).

    The longest utterances come first, so that batches pad little.
    """
    order = sorted(audio, key=lambda utt: -soundfile.info(audio[utt]).frames)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        clips = [torch.from_numpy(soundfile.read(audio[utt], dtype="float32")[0]) for utt in batch]
        lengths = torch.tensor([len(clip) for clip in clips])
        speech = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        yield batch, speech.to(device), lengths.to(device)
