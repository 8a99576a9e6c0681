"""Adapters between a speech encoder and a language model; ESPnet calls them postencoders."""

from dataclasses import dataclass

import torch
from espnet2.asr.postencoder.abs_postencoder import AbsPostEncoder
from torch import Tensor, nn

from espnet_otreg.configuration import options_of
from espnet_otreg.errors import UserError
from espnet_otreg.ot.options import check_options, option
from espnet_otreg.ot.tensors import zeroed

_WIDTH = "dimension of the language model's embeddings; null: the task looks it up"


def _known(output_size: int | None) -> int:
    if output_size is None:
        raise UserError(f"postencoder_conf.output_size must be given: {_WIDTH}")
    return output_size


@dataclass(frozen=True)
class StackAdapterConf:
    """Every few frames in a row become one, through two linear layers."""

    output_size: int | None = option(None, _WIDTH, low=1)
    stack: int = option(5, "k, frames in a row that become one", low=1)
    hidden_size: int = option(2048, "between the two linear layers", low=1)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class ConvAdapterConf:
    """Strided convolutions over time, then a linear layer."""

    output_size: int | None = option(None, _WIDTH, low=1)
    strides: tuple[int, ...] = option(
        (2, 2), "one convolution each; their product is the shortening", low=1
    )
    kernel_size: int = option(3, "of every convolution", low=1)
    hidden_size: int = option(2048, "channels", low=1)

    def __post_init__(self) -> None:
        check_options(self)


class StackAdapter(AbsPostEncoder):
    """`postencoder: stack_adapter`: every k frames in a row, Linear, ReLU, Linear (2508.08131).

    The last group is filled up with zeros, so that no frame is lost and no utterance is empty.

    Takes the dimension of the encoder's frames and the options of `StackAdapterConf`.
    """

    @options_of(StackAdapterConf, "postencoder_conf")
    def __init__(self, input_size: int, conf: StackAdapterConf) -> None:
        super().__init__()
        self.stack = conf.stack
        self.hidden = nn.Linear(conf.stack * input_size, conf.hidden_size)
        self.out = nn.Linear(conf.hidden_size, _known(conf.output_size))

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, input_size), (B,) -> (B, ceil(T / k), output_size), (B,)."""
        x = zeroed(input, input_lengths)
        batch, frames, size = x.shape
        x = nn.functional.pad(x, (0, 0, 0, -frames % self.stack))
        x = x.reshape(batch, -1, self.stack * size)
        lengths = (input_lengths + self.stack - 1) // self.stack
        return self.out(torch.relu(self.hidden(x))), lengths

    def output_size(self) -> int:
        """Dimension of the language model's embeddings."""
        return self.out.out_features


class ConvAdapter(AbsPostEncoder):
    """`postencoder: conv_adapter`: strided convolutions over time, then a linear layer.

    Takes the dimension of the encoder's frames and the options of `ConvAdapterConf`.
    """

    @options_of(ConvAdapterConf, "postencoder_conf")
    def __init__(self, input_size: int, conf: ConvAdapterConf) -> None:
        super().__init__()
        sizes = [input_size, *[conf.hidden_size] * len(conf.strides)]
        self.strides, self.padding = conf.strides, (conf.kernel_size - 1) // 2
        self.convolutions = nn.ModuleList(
            nn.Conv1d(sizes[i], sizes[i + 1], conf.kernel_size, stride, self.padding)
            for i, stride in enumerate(conf.strides)
        )
        self.kernel_size = conf.kernel_size
        self.out = nn.Linear(sizes[-1], _known(conf.output_size))

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, input_size), (B,) -> (B, T', output_size), (B,); T' is T over all strides."""
        x, lengths = input, input_lengths
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            x = zeroed(x, lengths)
            # at least one window, however short the utterance
            x = nn.functional.pad(x, (0, 0, 0, max(0, self.kernel_size - x.shape[1])))
            x = torch.relu(convolution(x.transpose(1, 2)).transpose(1, 2))
            lengths = (lengths + 2 * self.padding - self.kernel_size) // stride + 1
            lengths = lengths.clamp(min=1)
        return self.out(x), lengths

    def output_size(self) -> int:
        """Dimension of the language model's embeddings."""
        return self.out.out_features


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
        # H, (B, T, text_size): what the model aligns; nan in padding would reach its gradient
        projected = self.to_text(zeroed(input, input_lengths))
        back = self.norm_speech(self.to_speech(self.norm_text(projected)))
        return torch.add(input, back, alpha=self.scale), input_lengths

    def output_size(self) -> int:
        """Frames keep their dimension."""
        return int(self.to_speech.out_features)
