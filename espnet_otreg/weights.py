"""Weights out of files, without running what else a file may hold.

A checkpoint of torch is a pickle, and a pickle can call any function while it is read. So tensors
alone are taken out of it, whatever the file is called; safetensors has nothing to call.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_otreg.errors import UserError

if TYPE_CHECKING:
    from torch import nn

SAFE = ".safetensors"
_FORCE, _ALLOW = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@contextmanager
def tensors_only() -> Iterator[None]:
    """Let `torch.load` take tensors alone until the body ends, even where code asks for more.

    ESPnet loads with `weights_only=False`. This is torch's own switch, which it reads at every
    call: nothing is patched, and another thread can only become stricter.
    """
    before = {name: os.environ.get(name) for name in (_FORCE, _ALLOW)}
    os.environ[_FORCE] = "1"
    os.environ.pop(_ALLOW, None)  # torch refuses to be told both
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def read_checkpoint(path: Path) -> Any:
    """Read a file of torch or safetensors; one that holds more than tensors is refused."""
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"{path} does not exist: train first, or check its name")
    try:
        if path.suffix == SAFE:
            return load_file(path)
        with tensors_only():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file made to do harm can break its reader in any way
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{path} is no checkpoint of plain tensors ({reason})") from error


def read_weights(path: Path) -> dict[str, Any]:
    """Read the tensors of a model by name."""
    import torch

    state = read_checkpoint(path)
    if isinstance(state, dict):
        state = state.get("module", state)  # DeepSpeed's checkpoints
        state = _of_lightning(state)
    if not isinstance(state, dict):
        raise UserError(f"{path} is no checkpoint of plain tensors (a {type(state).__name__})")
    others = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UserError(
            f"{path} holds {others[0]}, which is no tensor: name a model such as "
            "valid.acc.ave.pth, not the state of a training"
        )
    return state


def _of_lightning(state: dict[str, Any]) -> dict[str, Any]:
    """Take the model out of a checkpoint of Lightning, where it may be a part called `model`."""
    inner = state.get("state_dict")
    if not isinstance(inner, dict):
        return state
    prefix = "model."
    if inner and all(name.startswith(prefix) for name in inner):
        return {name.removeprefix(prefix): value for name, value in inner.items()}
    return inner


def write_weights(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors as safetensors: nothing in the file can be run."""
    from safetensors.torch import save_file

    # tied weights share memory, which the format has no way to say
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}, path)


def fill(model: "nn.Module", path: Path) -> set[str]:
    """Put a file's tensors into a model, as ESPnet does; missing ones are told. Returns names."""
    weights = read_weights(path)
    try:
        found = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # a heading, then a line for each tensor of another shape
        reason = str(error).strip().split("\n")[-1].strip()
        raise UserError(f"{path} belongs to another config.yaml: {reason}") from error
    if found.missing_keys:
        logging.warning(
            "%s lacks %d tensors, first %s: they stay random",
            *(path, len(found.missing_keys), found.missing_keys[0]),
        )
    return set(weights)
