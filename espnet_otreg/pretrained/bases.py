"""Parts that come from elsewhere: what they are called, what they were, and their precision."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

CHECKPOINT = "valid.acc.ave.pth"  # of an ESPnet experiment, where no other is named
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Base(NamedTuple):
    """What a pretrained part can be found by again, and told from another."""

    name: str  # as given: folder or hub name
    sha256: str  # hex, of what determines the part's output


class KeepsDtype(nn.Module):
    """A part whose weights stay in the precision they were loaded in.

    ESPnet casts the whole model to `train_dtype` before training, which would undo a part's own
    `dtype` option; moving the part to a device goes on working.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        return super()._apply(lambda tensor: fn(tensor).to(tensor.dtype), recurse)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents, reading the files piece by piece."""
    listing = "".join(f"{path.name} {file_hash(path)}\n" for path in paths)
    return hashlib.sha256(listing.encode()).hexdigest()
