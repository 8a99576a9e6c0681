"""`transfer_conf` of a configuration: how much the language model teaches, and where."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TransferConf:
    """Options of `model: ot_transfer` beside `alignment_conf`; defaults of arXiv 2509.05609."""

    main_weight: float = 0.3  # η: share of the recognition loss; 1 is the stock model
    align_weight: float = 1.0  # w_a: of Σ_j (1 - cos) between tokens and what is aligned to them
    transport_weight: float = 1.0  # w_t: of the transport cost
    layers: tuple[int, ...] = ()  # encoder layers, from 1, aligned too, each by its own projection
    language_model: str | None = None  # path or hub name; needed where features are not cached

    def __post_init__(self) -> None:
        """Check the ranges."""
        for key, allowed, holds in (
            ("main_weight", "in [0, 1]", 0 <= self.main_weight <= 1),
            ("align_weight", ">= 0 and finite", 0 <= self.align_weight < math.inf),
            ("transport_weight", ">= 0 and finite", 0 <= self.transport_weight < math.inf),
            ("layers", "a list of different numbers from 1", _different(self.layers)),
        ):
            if not holds:
                raise ValueError(f"{key} must be {allowed}, got {getattr(self, key)!r}")


def _different(layers: tuple[int, ...]) -> bool:
    return len(set(layers)) == len(layers) and all(layer >= 1 for layer in layers)
