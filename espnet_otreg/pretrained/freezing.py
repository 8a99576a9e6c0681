"""What trains and what does not: freezing by name, and an account of it for the log."""

from collections.abc import Iterable

from torch import nn

from espnet_otreg.errors import UserError


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


def _count(part: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in part.parameters() if p.requires_grad or not trained)


def _readable(count: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return str(count)
