"""Checks of numerical options: the error names the option, what was given, what is allowed."""

import math
from collections.abc import Iterable

METHODS = ("auto", "log", "exp")


def check_number(
    name: str, given: object, low: float, *, above: bool = False, infinite: bool = False
) -> None:
    """Require a number of at least (or above) low, finite unless infinite is allowed."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    value = float(given) if isinstance(given, int | float) and number else math.nan
    enough = value > low if above else value >= low
    if not enough or (math.isinf(value) and not infinite):
        kind = f"a number above {low:g}" if above else f"a number of {low:g} or more"
        allowed = f"{kind}, or inf" if infinite else f"{kind}, finite"
        raise ValueError(f"{name}: expected {allowed}; received {given!r}")


def check_choice(name: str, given: object, allowed: Iterable[str]) -> None:
    """Require one of the allowed names."""
    if given not in (names := tuple(allowed)):
        raise ValueError(f"{name}: expected one of {', '.join(names)}; received {given!r}")


def check_solver_options(
    epsilon: float,
    max_iters: int,
    tol: float,
    relax_speech: float,
    relax_text: float,
    method: str,
    unroll: bool,
) -> None:
    """Check what `sinkhorn` takes."""
    check_number("epsilon", epsilon, 0, above=True)
    check_number("tol", tol, 0)
    check_number("relax_speech", relax_speech, 0, above=True, infinite=True)
    check_number("relax_text", relax_text, 0, above=True, infinite=True)
    if not isinstance(max_iters, int) or isinstance(max_iters, bool) or max_iters < 1:
        raise ValueError(f"max_iters: expected a whole number of 1 or more; received {max_iters!r}")
    check_choice("method", method, METHODS)
    if not isinstance(unroll, bool):
        raise ValueError(f"unroll: expected true or false; received {unroll!r}")
    if unroll and method == "exp":
        raise ValueError("method: expected auto or log where unroll is true; received 'exp'")
