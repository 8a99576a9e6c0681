"""When each word of a transcript is said, by the cross attention of a Whisper that reads it.

The transcript is forced through Whisper's own decoder. Its heads that follow speech, which a
checkpoint names, are brought to one path through frames and tokens. Neighbours share a boundary
then; what is quiet at a word's ends is cut off. The encoder hears the recording alone, without the
silence up to 30 seconds that Whisper was trained with: that takes a tenth of the time.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from espnet_otreg.decode.batches import read_recording
from espnet_otreg.decode.whisper import Whisper
from espnet_otreg.errors import UserError
from espnet_otreg.languages import has_spaces
from espnet_otreg.pretrained.hf_checkpoint import RATE
from espnet_otreg.pretrained.hf_speech import HFSpeechEncoder

FRAME = 320  # samples: 20 ms
SMOOTHED = 7  # frames that a median is taken of, as OpenAI's own timing does
_LOWEST = -120.0  # dB, of digital silence


class TimingWhisper(Whisper):
    """A whole Whisper that tells the times of words which are given."""

    implementation = "eager"  # the only one that shows its attention

    def __init__(self, model: str, device: str = "cpu") -> None:
        super().__init__(model, device)
        self.encoder = HFSpeechEncoder(1, model=model).to(device).eval()

    @torch.inference_mode()
    def times(
        self, recording: str, words: Sequence[str], language: str | None, quiet: float = 35.0
    ) -> list[tuple[float, float]]:
        """Return each word's start and end in seconds, in the order given.

        Args:
            recording: a file
            words: what is said in it
            language: its code
            quiet: dB below the loudest 20 ms from which on a word's ends are cut off
        """
        samples = read_recording(recording, RATE)
        space = " " if language is None or has_spaces(language) else ""
        pieces = [self.tokenizer.encode(space + word, add_special_tokens=False) for word in words]
        if not words or not all(pieces):
            raise UserError(f"{recording}: expected words of one token or more, got {words}")
        tokens = [token for word in pieces for token in word]
        attention = self._attention(samples, self._opening(language), tokens, recording)
        jumps = _jumps(attention.cpu().numpy())
        firsts = np.cumsum([0, *map(len, pieces)])
        loud = _loudness(samples)
        loud = loud >= loud.max() - quiet
        return [_cut(jumps[i], jumps[j], loud) for i, j in pairwise(firsts)]

    def _opening(self, language: str | None) -> list[int]:
        """Return the tokens that stand before an answer."""
        made: Any = self.network.generation_config
        told = self._told(language)
        opening = [made.decoder_start_token_id]
        if told:
            opening += [made.lang_to_id[f"<|{language}|>"], made.task_to_id["transcribe"]]
        return [*opening, made.no_timestamps_token_id]

    def _attention(
        self, samples: np.ndarray, opening: list[int], tokens: list[int], recording: str
    ) -> Tensor:
        """Return how much each token, and the end, attends to each frame: (tokens + 1, frames)."""
        if len(opening) + len(tokens) > self.network.config.max_target_positions:
            raise UserError(f"{recording}: {len(tokens)} tokens are more than {self.name} reads")
        heard = torch.from_numpy(samples)[None].to(self.device)
        heard, lengths, _ = self.encoder(heard, torch.tensor([len(samples)]))
        ids = torch.tensor([opening + tokens], device=self.device)
        layers = self.network.model.decoder(
            input_ids=ids, encoder_hidden_states=heard, output_attentions=True
        ).cross_attentions
        heads = getattr(self.network.generation_config, "alignment_heads", None)
        if not heads:  # as OpenAI does where none are named: all of the upper half
            upper = range(len(layers) // 2, len(layers))
            heads = [(layer, head) for layer in upper for head in range(layers[layer].shape[1])]
        frames = int(lengths)
        found = torch.stack([layers[layer][0, head, :, :frames] for layer, head in heads])
        spread, mean = torch.std_mean(found, dim=1, keepdim=True, correction=0)
        found = (found - mean) / spread.clamp(min=1e-9)
        padded = functional.pad(found, (SMOOTHED // 2, SMOOTHED // 2), mode="replicate")
        found = padded.unfold(2, SMOOTHED, 1).median(dim=3).values.mean(0)
        return found[len(opening) - 1 :]


def _jumps(likeness: np.ndarray) -> list[int]:
    """Return the frame at which the likeliest path enters each row; the path's rows only grow."""
    rows, frames = likeness.shape
    best = np.full((rows + 1, frames + 1), -np.inf)
    best[0, 0] = 0
    came = np.zeros((rows + 1, frames + 1), int)
    for i in range(1, rows + 1):
        for j in range(1, frames + 1):
            ways = best[i - 1, j - 1], best[i - 1, j], best[i, j - 1]
            came[i, j] = int(np.argmax(ways))
            best[i, j] = ways[came[i, j]] + likeness[i - 1, j - 1]
    first = [0] * rows
    i, j = rows, frames
    while i > 0 and j > 0:
        first[i - 1] = j - 1
        step = came[i, j]
        i, j = i - (step < 2), j - (step != 1)
    return first


def _loudness(samples: np.ndarray) -> np.ndarray:
    """Return the level of every 20 ms in dB."""
    padded = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    power = np.square(padded, dtype=np.float64).mean(1)
    return np.maximum(10 * np.log10(np.maximum(power, 1e-12)), _LOWEST)


def _cut(start: int, end: int, loud: np.ndarray) -> tuple[float, float]:
    """Cut quiet frames off both ends; a word that is quiet altogether stays as it is."""
    end = max(end, start + 1)
    inside = np.flatnonzero(loud[start:end])
    if inside.size:
        start, end = start + int(inside[0]), start + int(inside[-1]) + 1
    seconds = FRAME / RATE
    return start * seconds, end * seconds
