"""The postencoder of the knowledge-transfer model: into the language model's space and back.

It is what is left of the method at inference: a stock ESPnet model with this postencoder decodes
without any language model.
"""

from dataclasses import dataclass

import torch
from espnet2.asr.postencoder.abs_postencoder import AbsPostEncoder
from torch import Tensor, nn

from espnet_otreg.models.configuration import options_of
from espnet_otreg.ot.options import check_options, option


@dataclass(frozen=True)
class TransferAdapterConf:
    """The way into the language model's space and back."""

    text_size: int = option(
        768, "dimension of the language model's embeddings: hidden_size in its config.json", low=1
    )
    scale: float = option(
        1.0, "s, how much of the way back enters the frames; 0 leaves them as they are"
    )

    def __post_init__(self) -> None:
        check_options(self)


class TransferAdapter(AbsPostEncoder):
    """`postencoder: transfer_adapter`: A + s LN(Linear(LN(H))) with H = Linear(A) (2409.02239).

    Takes the dimension of the encoder's frames and the options of `TransferAdapterConf`.
    """

    @options_of(TransferAdapterConf, "postencoder_conf")
    def __init__(self, input_size: int, conf: TransferAdapterConf) -> None:
        super().__init__()
        self.scale, text_size = conf.scale, conf.text_size
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
