"""What routines do to tensors first: lengths checked, padding masked, precision raised."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

_ALIKE = 1e-5  # of a vector's length


def length_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Return a (B, size) mask that is true on the first `lengths[b]` positions of row b."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)


def zeroed(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return x (B, L, D) with 0 beyond the lengths, whatever stood there, nan too."""
    return x.masked_fill(~length_mask(lengths.to(x.device), x.shape[1]).unsqueeze(2), 0)


def centred(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return x (B, L, D), 0 beyond the lengths, less each row's own mean over what is within.

    A frame that is the mean but for rounding becomes 0, as its direction would be rounding's.
    """
    x, lengths = zeroed(x, lengths), lengths.to(x.device)
    mean = x.sum(1, keepdim=True) / lengths.clamp(min=1).view(-1, 1, 1)
    own = x - mean
    with torch.no_grad():
        alike = own.norm(dim=2, keepdim=True) <= _ALIKE * x.norm(dim=2, keepdim=True)
    return zeroed(own.masked_fill(alike, 0), lengths)


def check_lengths(name: str, lengths: torch.Tensor, batch: int, size: int) -> None:
    """Refuse lengths of the wrong shape, or (where looking is free) outside 0..size."""
    if lengths.shape != (batch,):
        raise ValueError(
            f"{name}: expected one length per utterance, shape ({batch},), "
            f"received shape {tuple(lengths.shape)}; pass a 1-D tensor of {batch} lengths"
        )
    # On a GPU the look would make the host wait, so only lengths in host memory are looked at.
    if lengths.device.type == "cpu" and batch and not 0 <= lengths.min() <= lengths.max() <= size:
        raise ValueError(
            f"{name}: expected lengths between 0 and the padded size {size}, received "
            f"{lengths.tolist()}; pass the lengths that belong to this tensor"
        )


def check_weights(weights: torch.Tensor, cost: torch.Tensor, lengths: torch.Tensor) -> None:
    """Refuse token weights of the wrong shape, or (where looking is free) not above 0."""
    expected = (cost.shape[0], cost.shape[2])
    if weights.shape != expected:
        raise ValueError(
            f"text_weights: expected one weight per token, shape {expected}, received "
            f"{tuple(weights.shape)}; give None for equal weights"
        )
    if weights.device.type == "cpu":
        wrong = length_mask(lengths.cpu(), weights.shape[1]) & ~((weights > 0) & weights.isfinite())
        if wrong.any():
            raise ValueError(
                f"text_weights: expected numbers above 0, received {weights[wrong][0].item()}; "
                "leave out a token that is to get nothing"
            )


def kept_first(keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn a (B, L) keep mask into (index (B, L'), lengths (B,)), order preserved.

    `index[b, :lengths[b]]` lists the kept positions of row b; L' is the longest row's count.
    """
    lengths = keep.sum(1)
    longest = int(lengths.max()) if keep.numel() else 0
    index = torch.argsort(keep.to(torch.uint8), dim=1, descending=True, stable=True)
    return index[:, :longest], lengths


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Switch autocast and, on CUDA, TF32 products off inside the block.

    A cosine rounded to ten bits is divided by epsilon and exponentiated: the plan would be
    wrong by several percent.
    """
    known = torch.amp.is_autocast_available(device.type)
    with torch.autocast(device.type, enabled=False) if known else nullcontext():
        if device.type != "cuda":
            yield
            return
        matmul = torch.backends.cuda.matmul
        # torch 2.9 renamed the switch, and reading the old name after the new one is an error
        name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
        before = getattr(matmul, name)
        setattr(matmul, name, "ieee" if name == "fp32_precision" else False)
        try:
            yield
        finally:
            setattr(matmul, name, before)


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Cast half precision up to float32; float32 and float64 stay as they are."""
    return x if x.dtype == torch.float64 else x.float()
