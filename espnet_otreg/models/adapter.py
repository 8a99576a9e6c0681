"""The postencoder of the knowledge-transfer model: into the language model's space and back.

It is what is left of the method at inference: a stock ESPnet model with this postencoder decodes
without any language model.
"""

import math

import torch
from espnet2.asr.postencoder.abs_postencoder import AbsPostEncoder
from torch import Tensor, nn

from espnet_otreg.errors import UserError


class TransferAdapter(AbsPostEncoder):
    """`postencoder: transfer_adapter`: A + s LN(Linear(LN(H))) with H = Linear(A) (2409.02239).

    Args:
        input_size: dimension of the encoder's frames, given by ESPnet
        text_size: dimension of the language model's embeddings, in which H is aligned
        scale: s, how much of the way back enters the frames; 0 leaves them as they are
    """

    def __init__(self, input_size: int, text_size: int = 768, scale: float = 1.0) -> None:
        super().__init__()
        if not isinstance(text_size, int) or isinstance(text_size, bool) or text_size < 1:
            raise UserError(
                "postencoder_conf.text_size must be the dimension of the language model "
                f"(hidden_size in its config.json), got {text_size!r}"
            )
        if not isinstance(scale, int | float) or not math.isfinite(scale):
            raise UserError(f"postencoder_conf.scale must be a finite number, got {scale!r}")
        self.scale = float(scale)
        self.to_text = nn.Linear(input_size, text_size)
        self.norm_text = nn.LayerNorm(text_size)
        self.to_speech = nn.Linear(text_size, input_size)
        self.norm_speech = nn.LayerNorm(input_size)

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames of the same shape and lengths: (B, T, input_size), (B,)."""
        projected = self.to_text(input)  # H, (B, T, text_size): what the model aligns
        back = self.norm_speech(self.to_speech(self.norm_text(projected)))
        return torch.add(input, back, alpha=self.scale), input_lengths

    def output_size(self) -> int:
        """Frames keep their dimension."""
        return int(self.to_speech.out_features)
