"""Reading a mapping of a configuration into a dataclass: keys and types, checked by name."""

import math
import types
import typing
from dataclasses import fields
from typing import Any, TypeVar

from espnet_otreg.errors import UserError

Options = TypeVar("Options")


def read_options(cls: type[Options], given: Any, section: str) -> Options:
    """Build `cls` from what YAML holds under `section`; an error names the key and what is allowed.

    Ranges are the dataclass's own business: a ValueError of its __post_init__ is passed on with
    the section's name.
    """
    if not isinstance(given, dict):
        raise UserError(f"{section} must be a mapping of options, got {given!r}")
    known = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(given) - set(known), key=str)
    if unknown:
        raise UserError(
            f"{section} has unknown key {', '.join(map(repr, unknown))}; "
            f"known keys: {', '.join(known)}"
        )
    try:
        return cls(**{key: _typed(section, key, v, known[key]) for key, v in given.items()})
    except ValueError as error:
        raise UserError(f"{section}.{error}") from error


def _typed(section: str, key: str, value: Any, expected: Any) -> Any:
    """Return the value as its declared type, or say what is wrong with it."""
    if isinstance(expected, types.UnionType) or typing.get_origin(expected) is not None:
        return _composed(section, key, value, expected)
    if expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an int of hundreds of digits
            number = math.nan
        if math.isnan(number):
            shown = f"{value:.9}" if isinstance(value, float) else "more digits than a float holds"
            raise UserError(f"{section}.{key} must be a number, got {shown}")
        return number
    if type(value) is expected:
        return value
    hint = ""
    if expected is float and isinstance(value, str):
        hint = " (YAML reads 1e-3 and inf as text: write 1.0e-3 and .inf)"
    raise UserError(
        f"{section}.{key} must be of type {expected.__name__}, "
        f"got {value!r} of type {type(value).__name__}{hint}"
    )


def _composed(section: str, key: str, value: Any, expected: Any) -> Any:
    """`str | None` and `tuple[int, ...]`, the two composed types that options have."""
    if isinstance(expected, types.UnionType):
        if value is None:
            return None
        (inner,) = (part for part in typing.get_args(expected) if part is not type(None))
        return _typed(section, key, value, inner)
    inner = typing.get_args(expected)[0]
    if not isinstance(value, list | tuple):
        raise UserError(f"{section}.{key} must be a list of {inner.__name__}, got {value!r}")
    return tuple(_typed(section, key, each, inner) for each in value)
