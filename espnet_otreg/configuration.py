"""Reading a mapping of a configuration into a dataclass of options: errors name section and key."""

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from espnet_otreg.errors import UserError
from espnet_otreg.ot.options import Declared, declared

Options = TypeVar("Options")


def read_options(cls: type[Options], given: Any, section: str) -> Options:
    """Build `cls` from what YAML holds under `section`; an error names the key and what is allowed.

    Types and ranges are the dataclass's own business: a ValueError of its __post_init__ is passed
    on with the section's name.
    """
    if not isinstance(given, dict):
        raise UserError(f"{section}: expected a mapping of options; received {given!r}")
    known = {each.name: each for each in declared(cls)}
    unknown = sorted(set(given) - set(known), key=str)
    if unknown:
        raise UserError(
            f"{section} has unknown key {', '.join(map(repr, unknown))}; "
            f"known keys: {', '.join(known)}"
        )
    for key, each in known.items():
        if each.default is dataclasses.MISSING and key not in given:
            raise UserError(f"{section}.{key} must be given: {each.rule.help}")
    values = {key: _from_yaml(section, known[key], value) for key, value in given.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise UserError(f"{section}.{error}") from error


def _from_yaml(section: str, option: Declared, value: Any) -> Any:
    """Turn a list into a tuple and a whole number into a float where that is meant."""
    kinds = typing.get_args(option.kind) if isinstance(option.kind, types.UnionType) else ()
    kinds = kinds or (option.kind,)
    if isinstance(value, list) and any(typing.get_origin(kind) is tuple for kind in kinds):
        return tuple(value)
    if float in kinds and type(value) is int and abs(value) < 2**53:
        return float(value)
    if {int, float} & set(kinds) and isinstance(value, str) and _reads_as_number(value):
        raise UserError(
            f"{section}.{option.name}: expected {option.rule.allowed(option.kind)}; received "
            f"{value!r}, which YAML reads as text: write 1.0e-3 and .inf"
        )
    return value


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def options_of(
    cls: type, section: str, parts: Iterable[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a constructor, which takes its options as `conf`, be called as ESPnet calls it.

    ESPnet gives `parts` (by default the constructor's other parameters) and then the keys of the
    section as arguments, and reads the section's defaults from the signature.
    """

    def decorate(build: Callable[..., None]) -> Callable[..., None]:
        taken = [name for name in inspect.signature(build).parameters if name != "conf"]
        own = [taken[0], *(taken[1:] if parts is None else parts)]
        names = own + [each.name for each in declared(cls)]

        @functools.wraps(build)
        def init(*args: Any, **kwargs: Any) -> None:
            given = dict(zip(names, args, strict=False))
            if len(args) > len(names) or given.keys() & kwargs.keys():
                raise TypeError(f"expected each of {', '.join(names[1:])} at most once")
            given.update(kwargs)
            mine = {name: given.pop(name) for name in own if name in given}
            build(**mine, conf=read_options(cls, given, section))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        options = [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=_default(each))
            for each in declared(cls)
        ]
        init.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*(inspect.Parameter(name, kind) for name in own), *options]
        )
        return init

    return decorate


def _default(option: Declared) -> Any:
    missing = option.default is dataclasses.MISSING
    return inspect.Parameter.empty if missing else option.default
