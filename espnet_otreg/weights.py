"""Weights out of files, without running what else a file may hold.

A checkpoint of torch is a pickle, and a pickle can call any function while it is read. So tensors
alone are taken out of it, whatever the file is called; safetensors has nothing to call.

ESPnet 202611 calls a tensor of most encoders `embed.out.weight` that was `embed.out.0.weight`. It
reads the older name for inference, but where a training starts from a file (`init_param`) leaves
the tensor random without a word. 202511 does so wherever it meets the newer name. Here both are
read everywhere, and what stock ESPnet shall open is written with the older one.
"""

import logging
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing

if TYPE_CHECKING:
    from torch import nn

SAFE = ".safetensors"
_EMBEDDING = re.compile(r"((?:.*\.)?embed\.out\.)(0\.)?(weight|bias)")
_ALIKE = "conv2d8", "contextual_block"  # input layer, encoders: named so by both of them
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


def named_as_in(state: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Name a checkpoint's tensors as a model does, which another ESPnet may not have."""
    known = set(names)
    found = OrderedDict()  # type: ignore[var-annotated]
    if hasattr(state, "_metadata"):  # what torch notes beside a state, such as our epochs
        found._metadata = state._metadata  # type: ignore[attr-defined]
    for name, value in sorted(state.items(), key=lambda item: item[0] not in known):
        found[name if name in known else _twin(name, known)] = value
    return found


def _twin(name: str, known: Container[str]) -> str:
    match = _EMBEDDING.fullmatch(name)
    twin = match and f"{match[1]}{'' if match[2] else '0.'}{match[3]}"
    return twin if twin and twin in known else name


def read_any_names(part: "nn.Module") -> None:
    """Have a part of a model load what another ESPnet wrote, whoever loads it."""
    part.register_load_state_dict_pre_hook(_name_as_in)


def _name_as_in(part: "nn.Module", state: dict[str, Any], prefix: str, *_: Any) -> None:
    named = named_as_in(dict(state), [prefix + name for name in part.state_dict()])
    state.clear()
    state.update(named)


def write_weights(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors as safetensors: nothing in the file can be run."""
    from safetensors.torch import save_file

    # tied weights share memory, which the format has no way to say
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}, path)


def copy_for_stock(
    source: Path, target: Path, config: Mapping[str, Any], without: tuple[str, ...] = ()
) -> None:
    """Copy a model's file with names that every ESPnet finds; what begins with `without` stays."""
    import torch

    weights = read_weights(source)
    layer = (config.get("encoder_conf") or {}).get("input_layer")
    alike = layer == _ALIKE[0] or str(config.get("encoder")).startswith(_ALIKE[1])
    newer, older = r"^encoder\.embed\.out\.(weight|bias)$", r"encoder.embed.out.0.\1"
    named = {
        name if alike else re.sub(newer, older, name): value
        for name, value in weights.items()
        if not name.startswith(without)
    }
    if named.keys() == weights.keys():
        shutil.copyfile(source, target)
        return
    with writing(target, "wb") as stream:
        torch.save(named, stream)


def fill(model: "nn.Module", path: Path) -> set[str]:
    """Put a file's tensors into a model, as ESPnet does; missing ones are told.

    Returns the tensors' names, as the model has them.
    """
    weights = named_as_in(read_weights(path), model.state_dict())
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
