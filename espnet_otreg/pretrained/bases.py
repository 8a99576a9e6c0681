"""Parts that come from elsewhere: told from others, frozen, and left out of checkpoints.

Checkpoints hold what was trained: a base model is a part with an attribute `base`, its name and
hash. Its frozen tensors are left out of the state dict, its hash is put in, and a checkpoint made
with other base weights is refused.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from espnet_otreg.errors import UserError
from espnet_otreg.files import file_hash

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


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents, reading the files piece by piece."""
    listing = "".join(f"{path.name} {file_hash(path)}\n" for path in paths)
    return hashlib.sha256(listing.encode()).hexdigest()


def freeze(model: nn.Module, names: Iterable[str], option: str) -> None:
    """Stop the training of every parameter at or below these names; one without any is an error.

    Low-rank adapters inside a frozen part go on training: that is what they were added for.
    """
    for name in names:
        found = [
            parameter
            for key, parameter in model.named_parameters()
            if (key == name or key.startswith(f"{name}.")) and ".lora_" not in key
        ]
        if not found:
            parts = ", ".join(key for key, part in model.named_children() if _count(part))
            raise UserError(
                f"{option}: no parameter is called {name} or {name}.…; the model's parts are "
                f"{parts}"
            )
        for parameter in found:
            parameter.requires_grad_(False)


def audit(model: nn.Module) -> str:
    """Say how many parameters train, of how many, in each part of the model."""
    rows = []
    for name, part in model.named_children():
        if total := _count(part):
            trained = _count(part, trained=True)
            rows.append(f"{name} {_readable(trained)} of {_readable(total)}")
    whole = f"{_readable(_count(model, trained=True))} of {_readable(_count(model))}"
    return f"trainable parameters: {whole} ({', '.join(rows)})"


def is_frozen(part: nn.Module) -> bool:
    """Tell whether a part has parameters and none of them trains."""
    return _count(part) > 0 and _count(part, trained=True) == 0


def with_lora(network: Any, conf: dict) -> Any:
    """Add low-rank adapters; only they will train."""
    try:
        import peft
    except ImportError as error:
        raise UserError(
            "decoder_conf.lora_conf needs the package peft: pip install espnet_otreg[slm]"
        ) from error
    try:
        return peft.get_peft_model(network, peft.LoraConfig(task_type="CAUSAL_LM", **conf))
    except (TypeError, ValueError) as error:
        names = sorted({name.rsplit(".", 1)[-1] for name, part in network.named_modules()
                        if isinstance(part, nn.Linear)})  # fmt: skip
        raise UserError(
            f"decoder_conf.lora_conf {conf}: {error}; the model's linear layers are called "
            f"{', '.join(names)}"
        ) from error


def without_dropout(network: nn.Module) -> None:
    """Switch every dropout off, in training mode too."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]


def _count(part: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in part.parameters() if p.requires_grad or not trained)


def _readable(count: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return str(count)


HASHES = "base_hashes"  # (parts, 32) bytes as float32, which averages of checkpoints keep exact


class BaseWeights:
    """Keeps the base models' weights out of a model's checkpoints."""

    def __init__(self, model: nn.Module, parts: Mapping[str, nn.Module]) -> None:
        self.parts = {name: part for name, part in parts.items() if hasattr(part, "base")}
        self.bases: dict[str, Any] = {name: part.base for name, part in self.parts.items()}
        digests = [list(bytes.fromhex(base.sha256)) for base in self.bases.values()]
        hashes = torch.tensor(digests, dtype=torch.float32).reshape(len(digests), 32)
        model.register_buffer(HASHES, hashes)
        model.register_state_dict_post_hook(partial(self._leave_out))  # takes no bound method
        model.register_load_state_dict_pre_hook(self._compare)
        model.register_load_state_dict_post_hook(self._forgive)

    def _left_out(self) -> set[str]:
        """Names of the tensors that a checkpoint does without."""
        names = set()
        for name, part in self.parts.items():
            trained = {key for key, value in part.named_parameters() if value.requires_grad}
            state = part.state_dict(keep_vars=True)
            names |= {f"{name}.{key}" for key in state if key not in trained}
        return names

    def _leave_out(self, model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
        for name in self._left_out():
            state.pop(prefix + name, None)

    def _compare(self, model: nn.Module, state: dict, prefix: str, *_: Any) -> None:
        given: Tensor | None = state.get(prefix + HASHES)
        own: Tensor = getattr(model, HASHES)
        if given is None or given.shape != own.shape:
            return  # told as a missing or ill-shaped tensor
        for (name, base), ours, theirs in zip(self.bases.items(), own, given, strict=True):
            if not torch.equal(ours.cpu(), theirs.cpu().to(ours.dtype)):
                raise UserError(
                    f"the checkpoint was trained on another {name} (SHA-256 "
                    f"{_hex(theirs)[:12]}…) than {base.name} ({_hex(ours)[:12]}…): point "
                    f"{name}_conf to the base model it was trained on"
                )

    def _forgive(self, model: nn.Module, keys: Any) -> None:
        """Take the base models' tensors off the missing ones; whatever else is missing is told.

        ESPnet loads checkpoints for inference without minding missing keys, so it is minded here.
        """
        known = self._left_out()
        keys.missing_keys[:] = [key for key in keys.missing_keys if key not in known]
        for kind, found in (("lacks", keys.missing_keys), ("has unknown", keys.unexpected_keys)):
            if found:
                raise UserError(
                    f"the checkpoint {kind} {len(found)} tensors, first {found[0]}: it belongs to "
                    "another configuration"
                )


def _hex(row: Tensor) -> str:
    return bytes(int(value) & 255 for value in row.tolist()).hex()
