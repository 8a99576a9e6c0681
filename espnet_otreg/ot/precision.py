"""Transport is solved in full single precision, whatever the training around it uses."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


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
