"""Checkpoints hold what was trained: frozen weights of base models stay where they came from.

A base model is a part with an attribute `base`, its name and hash. Its frozen tensors are left out
of the state dict, its hash is put in, and a checkpoint made with other base weights is refused.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from espnet_otreg.errors import UserError

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
