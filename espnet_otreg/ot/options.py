"""Options are declared once: a dataclass field with type, default, allowed values and help.

`option` declares one and `check_options` holds the given values to the declarations, so that an
error, the documentation and the code cannot disagree. `SolverOptions` are those of `sinkhorn` and
of everything built on it.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

METHODS = ("auto", "log", "exp")
Options = TypeVar("Options")


_DIGITS = 1024  # binary ones, of the largest float


class Rule(NamedTuple):
    """What an option means and which values it takes, beside its type."""

    help: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False  # low itself is not allowed
    infinite: bool = False  # infinity is allowed
    choices: tuple[str, ...] = ()

    def admits(self, given: Any, kind: Any) -> bool:
        """Tell whether a value is of this type and in range."""
        if isinstance(kind, types.UnionType):
            return given is None or self.admits(given, _inner(kind))
        if typing.get_origin(kind) is tuple:
            inner = _inner(kind)
            return isinstance(given, tuple) and all(self.admits(each, inner) for each in given)
        if self.choices:
            return isinstance(given, str) and given in self.choices
        if kind not in (int, float):
            return isinstance(given, kind)
        if isinstance(given, bool) or not isinstance(given, int if kind is int else int | float):
            return False
        if isinstance(given, int) and given.bit_length() > _DIGITS:
            return False
        enough = given > self.low if self.above else given >= self.low
        return enough and given <= self.high and (self.infinite or abs(given) != math.inf)

    def allowed(self, kind: Any) -> str:
        """Say in words what it takes."""
        if isinstance(kind, types.UnionType):
            return f"{self.allowed(_inner(kind))}, or null"
        if typing.get_origin(kind) is tuple:
            return f"a list, each {self.allowed(_inner(kind))}"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if kind not in (int, float):
            return {bool: "true or false", str: "text", dict: "a mapping"}[kind]
        noun = "a number" if kind is float else "a whole number"
        if self.high < math.inf:
            between = f"above {self.low:g} and at most" if self.above else f"from {self.low:g} to"
            return f"{noun} {between} {self.high:g}"
        if self.low > -math.inf:
            noun += f" above {self.low:g}" if self.above else f" of {self.low:g} or more"
        if kind is int:
            return noun
        return f"{noun}, or inf" if self.infinite else f"{noun}, finite"


class Declared(NamedTuple):
    """One declared option of a dataclass."""

    name: str
    kind: Any  # bool, int, float, str, dict, one of these | None, or a tuple of them
    default: Any  # dataclasses.MISSING where it must be given
    rule: Rule


def _inner(kind: Any) -> Any:
    """Return X of `X | None` and of `tuple[X, ...]`, the composed types that options have."""
    return next(part for part in typing.get_args(kind) if part is not types.NoneType)


def option(default: Any, help: str, **rule: Any) -> Any:
    """Declare a field; `rule` is low, high, above, infinite or choices of `Rule`."""
    metadata = {"rule": Rule(help, **rule)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(help: str, **rule: Any) -> Any:
    """Declare a field that has no default."""
    return option(dataclasses.MISSING, help, **rule)


def same(cls: type, name: str, default: Any, help: str | None = None) -> Any:
    """Declare a field by another class's declaration, with a default of its own."""
    rule = next(each.rule for each in declared(cls) if each.name == name)
    return option(default, **(rule._asdict() if help is None else {**rule._asdict(), "help": help}))


def declared(cls: type) -> list[Declared]:
    """List the options of a dataclass, in order."""
    found = []
    for field in dataclasses.fields(cls):
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        found.append(Declared(field.name, field.type, default, field.metadata["rule"]))
    return found


def check_options(options: Any) -> None:
    """Hold the values of a dataclass to its declarations."""
    for name, kind, _, rule in declared(type(options)):
        _check(name, getattr(options, name), kind, rule)


def _check(name: str, given: Any, kind: Any, rule: Rule) -> None:
    if not rule.admits(given, kind):
        raise ValueError(f"{name}: expected {rule.allowed(kind)}; received {given!r}")


def check_number(name: str, given: Any, **rule: Any) -> None:
    """Require a number in the range of `rule`, as `option` takes it."""
    _check(name, given, float, Rule("", **rule))


def check_choice(name: str, given: Any, choices: Iterable[str]) -> None:
    """Require one of the names."""
    _check(name, given, str, Rule("", choices=tuple(choices)))


def changed(cls: type[Options], options: Options | None, changes: Mapping[str, Any]) -> Options:
    """Return the options, by default those of the class, with some of them changed."""
    if options is None:
        return cls(**changes)
    return dataclasses.replace(options, **changes) if changes else options  # type: ignore[type-var]


@dataclass(frozen=True)
class SolverOptions:
    """How `sinkhorn` solves, alone and inside `OTRegLoss`, `align` and `fused_gromov`."""

    epsilon: float = option(
        0.1, "entropic smoothing of the plan, in units of the cost", low=0, above=True
    )
    max_iters: int = option(50, "iterations at most", low=1)
    tol: float = option(1e-3, "stop when the L1 error of the frame masses is within it", low=0)
    relax_speech: float = option(
        math.inf, "KL strength on the frames' masses; inf: every frame counts",
        low=0, above=True, infinite=True,
    )  # fmt: skip
    relax_text: float = option(
        math.inf, "KL strength on the tokens' masses; inf: every token counts",
        low=0, above=True, infinite=True,
    )  # fmt: skip
    method: str = option("auto", "domain; auto: the faster one that is safe", choices=METHODS)
    unroll: bool = option(False, "differentiate through every iteration, to compare with")
    cost_range: float | None = option(
        None, "known bound of the spread of cost and prior, which spares a GPU the wait for it",
        low=0, infinite=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)
        if self.unroll and self.method == "exp":
            raise ValueError("method: expected auto or log where unroll is true; received 'exp'")
