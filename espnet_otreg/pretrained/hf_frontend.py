"""`frontend: hf_speech`: a frozen pretrained encoder's frames in place of filter banks.

It takes what `encoder: hf_speech` takes, and any encoder of ESPnet's stands behind it. Frames that
`espnet_otreg.stages.speech_features` has cached are passed on as they are.
"""

from dataclasses import asdict

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch import Tensor

from espnet_otreg.configuration import options_of
from espnet_otreg.errors import UserError
from espnet_otreg.ot.tensors import zeroed
from espnet_otreg.pretrained.bases import Base
from espnet_otreg.pretrained.hf_speech import HFSpeechConf, HFSpeechEncoder


class HFSpeechFrontend(AbsFrontend):
    """A pretrained speech encoder that stays as it came.

    Takes the options of `HFSpeechConf`.
    """

    @options_of(HFSpeechConf, "frontend_conf")
    def __init__(self, conf: HFSpeechConf) -> None:
        super().__init__()
        self.speech = HFSpeechEncoder(1, **asdict(conf))
        self.requires_grad_(False)

    @property
    def base(self) -> Base:
        """Name and hash of what came trained."""
        return self.speech.base

    def output_size(self) -> int:
        """D."""
        return self.speech.output_size()

    def train(self, mode: bool = True) -> "HFSpeechFrontend":
        """Do not switch the mode: it stays as it is at inference."""
        return super().train(False)

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames (B, T, D) and lengths (B,) of waveforms (B, samples), or of such frames."""
        if input.dim() == 3:
            if input.shape[2] != self.output_size():
                raise UserError(
                    f"cached frames have {input.shape[2]} dimensions, the frontend's "
                    f"{self.output_size()}: make them again with "
                    "espnet_otreg.stages.speech_features and this config"
                )
            return zeroed(input.float(), input_lengths), input_lengths
        with torch.no_grad():
            frames, lengths, _ = self.speech(input, input_lengths)
        return frames, lengths

    def reload_pretrained_parameters(self) -> None:
        """Undo ESPnet's `init`, which draws every weight anew; ESPnet calls this after it."""
        self.speech.reload_pretrained_parameters()
