"""`slm_conf.augment`: frames of a frozen encoder, changed anew whenever training reads them.

Frames that are computed once see no SpecAugment and no other speed; this is what takes its place.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from espnet_otreg.ot.options import check_options, option
from espnet_otreg.ot.sequences import resampled
from espnet_otreg.ot.tensors import length_mask, zeroed


@dataclass(frozen=True)
class FrameAugmentConf:
    """What training does to the frames that the adapter reads; by default nothing."""

    stretch: tuple[float, ...] = option(
        (), "shortest and longest that an utterance becomes, in its own lengths, such as "
        "[0.75, 1.35]; []: as long as it is", low=0, above=True, high=10,
    )  # fmt: skip
    noise: float = option(0.0, "Gaussian noise, in standard deviations of each frame", low=0)
    time_masks: int = option(
        0, "spans of frames that become the utterance's mean, at random places", low=0
    )
    time_mask_frames: int = option(
        4, "longest such span; none covers more than half of an utterance", low=1
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.stretch and (len(self.stretch) != 2 or self.stretch[0] > self.stretch[1]):
            raise ValueError(
                "stretch: expected two factors, the smaller one first, such as [0.75, 1.35]; "
                f"received {list(self.stretch)}"
            )

    @property
    def changes(self) -> bool:
        """Tell whether frames are changed at all."""
        return bool(self.stretch or self.noise or self.time_masks)


def augment(x: Tensor, lengths: Tensor, conf: FrameAugmentConf) -> tuple[Tensor, Tensor]:
    """Change frames (B, T, D) and their lengths (B,), each utterance by a draw of its own.

    What is drawn comes from torch's generator of the device. Gradients pass.
    """
    if not conf.changes:
        return x, lengths
    x, lengths = zeroed(x, lengths), lengths.to(x.device)
    if conf.stretch:
        low, high = conf.stretch
        drawn = torch.rand(len(x), device=x.device)
        x, lengths = stretched(x, lengths, low * (high / low) ** drawn)  # half longer, half shorter
    if conf.noise:
        spread = x.std(2, keepdim=True, unbiased=False)
        x = x + conf.noise * spread * torch.randn_like(x)
    if conf.time_masks:
        x = _masked(x, lengths, conf)
    return x, lengths


def stretched(x: Tensor, lengths: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Make utterances as many times as long (B,), by linear interpolation between frames.

    None becomes shorter than a frame; an empty one stays empty. Padding of x must be 0.
    """
    longer = (lengths * factors).round().long().clamp(min=1) * (lengths > 0)
    return resampled(x, lengths, longer), longer


def _masked(x: Tensor, lengths: Tensor, conf: FrameAugmentConf) -> Tensor:
    drawn = torch.rand(2, len(x), conf.time_masks, 1, device=x.device)
    size = lengths.view(-1, 1, 1)
    longest = (size // 2).clamp(max=conf.time_mask_frames)
    width = (drawn[0] * (longest + 1)).floor()  # (B, masks, 1), from 0 to the longest
    start = (drawn[1] * (size - width + 1)).floor()
    place = torch.arange(x.shape[1], device=x.device)
    hidden = ((place >= start) & (place < start + width)).any(1)  # (B, T)
    real = length_mask(lengths, x.shape[1]).unsqueeze(2)
    mean = (x * real).sum(1, keepdim=True) / size.clamp(min=1)
    return torch.where(hidden.unsqueeze(2) & real, mean, x)
