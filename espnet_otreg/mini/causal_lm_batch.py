"""Examples as padded batches, and their sources as disturbed embeddings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from espnet_otreg.mini.causal_lm_text import Example

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100  # label of what is not asked for


class Batch(NamedTuple):
    """Padded examples."""

    ids: "Tensor"  # (B, L)
    attend: "Tensor"  # (B, L) 0 on padding; 1 on the pad symbols of a source, which are silence
    source: "Tensor"  # (B, L) where the sources are
    labels: "Tensor"  # (B, L) the pieces that are asked for
    gaussian: "Tensor"  # (B, 1) strengths, see `Noise`
    mixed: "Tensor"  # (B, 1)


def length(example: Example) -> int:
    """Count all pieces of a conversation."""
    return sum(map(len, example[:4]))


def pad(examples: Sequence[Example], symbol: int, side: str) -> Batch:
    """Make rectangles, with padding at the side named."""
    import torch

    width = max(map(length, examples))

    def rectangle(rows: list[list[int]], fill: int) -> "Tensor":
        rests = [[fill] * (width - len(row)) for row in rows]
        pairs = zip(rows, rests, strict=True)
        return torch.tensor([row + rest if side == "right" else rest + row for row, rest in pairs])

    parts = [example[:4] for example in examples]
    return Batch(
        rectangle([[*a, *b, *c, *d] for a, b, c, d in parts], symbol),
        rectangle([[1] * len([*a, *b, *c, *d]) for a, b, c, d in parts], 0),
        rectangle([[0] * len(a) + [1] * len(b) + [0] * len([*c, *d]) for a, b, c, d in parts], 0),
        rectangle([[IGNORED] * len([*a, *b, *c]) + d for a, b, c, d in parts], IGNORED),
        torch.tensor([[example.noise.gaussian] for example in examples]),
        torch.tensor([[example.noise.mixed] for example in examples]),
    )


def embed(model: Any, batch: Batch) -> "Tensor":
    """Look up (B, L, D), then blend and blur the sources: speech is never quite on an embedding."""
    import torch

    table = model.get_input_embeddings()
    x = table(batch.ids)
    both = batch.source * batch.source.roll(-1, 1)  # this position and the next are in the source
    hit = torch.rand(batch.ids.shape) < batch.mixed
    share = (torch.rand(batch.ids.shape) * 0.5 * hit * both)[..., None]
    x = x + share * (x.roll(-1, 1) - x)
    blur = batch.gaussian * batch.source * table.weight.detach().std()
    return x + blur[..., None] * torch.randn_like(x)
