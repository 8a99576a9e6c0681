"""`ot_conf` of a configuration: every key, its type and its range, checked before data is read."""

import math
from dataclasses import dataclass, fields
from typing import Any

from espnet_otreg.errors import UserError


@dataclass(frozen=True)
class OTConf:
    """Options of the optimal-transport term, with the defaults that `model: otreg` uses."""

    weight: float = 0.3  # λ_OT: share of the term in the loss; 0 is the stock model
    sparsity_weight: float = 0.1  # λ_spr: one frame, one token
    cost: str = "cosine"
    epsilon: float = 0.1  # entropic smoothing, in units of the cost
    max_iters: int = 50
    relax_speech: float = math.inf  # KL strength on the frames' marginal; inf = every frame counts
    relax_text: float = math.inf  # the same for the tokens' marginal
    text_table: str = "decoder"  # whose rows are the targets
    unique_threshold: float = 0.99  # tokens closer than this cosine are one target
    start_epoch: int = 1  # first epoch in which the term enters the loss
    unroll: bool = False  # differentiate through all iterations, to compare with

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> "OTConf":
        """Read a YAML mapping; an error names the key, what was given and what is allowed.

        >>> OTConf.from_dict({"epsilon": 0.05}).epsilon
        0.05
        """
        if not isinstance(given, dict):
            raise UserError(f"ot_conf must be a mapping of options, got {given!r}")
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise UserError(
                f"ot_conf has unknown key {', '.join(map(repr, unknown))}; "
                f"known keys: {', '.join(known)}"
            )
        conf = cls(**{key: _typed(key, value, known[key]) for key, value in given.items()})
        conf._check_ranges()
        return conf

    def _check_ranges(self) -> None:
        for key, allowed, holds in (
            ("weight", ">= 0 and finite", 0 <= self.weight < math.inf),
            ("sparsity_weight", ">= 0 and finite", 0 <= self.sparsity_weight < math.inf),
            ("cost", "'cosine' or 'sqeuclidean'", self.cost in ("cosine", "sqeuclidean")),
            ("epsilon", "> 0 and finite", 0 < self.epsilon < math.inf),
            ("max_iters", ">= 1", self.max_iters >= 1),
            ("relax_speech", "> 0 (.inf keeps the marginal hard)", self.relax_speech > 0),
            ("relax_text", "> 0 (.inf keeps the marginal hard)", self.relax_text > 0),
            ("text_table", "'decoder' or 'ctc'", self.text_table in ("decoder", "ctc")),
            ("unique_threshold", "in (0, 1]", 0 < self.unique_threshold <= 1),
            ("start_epoch", ">= 1", self.start_epoch >= 1),
        ):
            if not holds:
                raise UserError(f"ot_conf.{key} must be {allowed}, got {getattr(self, key)!r}")


def _typed(key: str, value: Any, expected: Any) -> Any:
    """Return the value as its declared type, or say what is wrong with it."""
    if expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isnan(value):
            raise UserError(f"ot_conf.{key} must be a number, got nan")
        return float(value)
    if type(value) is expected:
        return value
    hint = ""
    if expected is float and isinstance(value, str):
        hint = " (YAML reads 1e-3 and inf as text: write 1.0e-3 and .inf)"
    raise UserError(
        f"ot_conf.{key} must be of type {expected.__name__}, "
        f"got {value!r} of type {type(value).__name__}{hint}"
    )
