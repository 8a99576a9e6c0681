"""Adapters between a speech encoder and a language model; ESPnet calls them postencoders."""

import torch
from espnet2.asr.postencoder.abs_postencoder import AbsPostEncoder
from torch import Tensor, nn

from espnet_otreg.errors import UserError
from espnet_otreg.ot.padding import zeroed


def _at_least_one(**sizes: int) -> None:
    for name, given in sizes.items():
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise UserError(f"postencoder_conf.{name} must be a whole number >= 1, got {given!r}")


class StackAdapter(AbsPostEncoder):
    """`postencoder: stack_adapter`: every k frames in a row, Linear, ReLU, Linear (2508.08131).

    The last group is filled up with zeros, so that no frame is lost and no utterance is empty.

    Args:
        input_size: dimension of the encoder's frames, given by ESPnet
        output_size: dimension of the language model's embeddings; by default looked up
        stack: k
        hidden_size: between the two linear layers
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        stack: int = 5,
        hidden_size: int = 2048,
    ) -> None:
        super().__init__()
        _at_least_one(output_size=output_size, stack=stack, hidden_size=hidden_size)
        self.stack = stack
        self.hidden = nn.Linear(stack * input_size, hidden_size)
        self.out = nn.Linear(hidden_size, output_size)

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

    Args:
        input_size: dimension of the encoder's frames, given by ESPnet
        output_size: dimension of the language model's embeddings; by default looked up
        strides: one convolution each; their product is the shortening
        kernel_size: of every convolution
        hidden_size: channels
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        strides: list[int] | tuple[int, ...] = (2, 2),
        kernel_size: int = 3,
        hidden_size: int = 2048,
    ) -> None:
        super().__init__()
        _at_least_one(output_size=output_size, kernel_size=kernel_size, hidden_size=hidden_size)
        for stride in strides:
            _at_least_one(strides=stride)
        sizes = [input_size, *[hidden_size] * len(strides)]
        self.strides, self.padding = tuple(strides), (kernel_size - 1) // 2
        self.convolutions = nn.ModuleList(
            nn.Conv1d(sizes[i], sizes[i + 1], kernel_size, stride, self.padding)
            for i, stride in enumerate(strides)
        )
        self.kernel_size = kernel_size
        self.out = nn.Linear(sizes[-1], output_size)

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
