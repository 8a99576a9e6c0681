"""`ot_conf` of a configuration: every key, its type and its range, checked before data is read."""

import math
from dataclasses import dataclass

TABLES = ("decoder", "ctc", "llm")  # llm: the language model's, of model: slm alone


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
    frames_per_token: float | None = None  # silence gets the share of frames that tokens leave
    text_table: str = "decoder"  # whose rows are the targets
    unique_threshold: float = 0.99  # tokens closer than this cosine are one target
    start_epoch: int = 1  # first epoch in which the term enters the loss
    end_epoch: int | None = None  # last such epoch; default: none is the last
    control: str = "none"  # shuffled: every utterance gets its batch neighbour's transcript
    unroll: bool = False  # differentiate through all iterations, to compare with

    def __post_init__(self) -> None:
        """Check the ranges."""
        for key, allowed, holds in (
            ("weight", ">= 0 and finite", 0 <= self.weight < math.inf),
            ("sparsity_weight", ">= 0 and finite", 0 <= self.sparsity_weight < math.inf),
            ("cost", "'cosine' or 'sqeuclidean'", self.cost in ("cosine", "sqeuclidean")),
            ("epsilon", "> 0 and finite", 0 < self.epsilon < math.inf),
            ("max_iters", ">= 1", self.max_iters >= 1),
            ("relax_speech", "> 0 (.inf keeps the marginal hard)", self.relax_speech > 0),
            ("relax_text", "> 0 (.inf keeps the marginal hard)", self.relax_text > 0),
            (
                "frames_per_token",
                "> 0 and finite",
                self.frames_per_token is None or 0 < self.frames_per_token < math.inf,
            ),
            ("text_table", f"one of {', '.join(TABLES)}", self.text_table in TABLES),
            ("control", "'none' or 'shuffled'", self.control in ("none", "shuffled")),
            ("unique_threshold", "in (0, 1]", 0 < self.unique_threshold <= 1),
            ("start_epoch", ">= 1", self.start_epoch >= 1),
            ("end_epoch", ">= start_epoch", (self.end_epoch or math.inf) >= self.start_epoch),
        ):
            if not holds:
                raise ValueError(f"{key} must be {allowed}, got {getattr(self, key)!r}")

    def active(self, epoch: int) -> bool:
        """Tell whether the term enters the loss of this epoch, counted from 1."""
        return self.weight > 0 and self.start_epoch <= epoch <= (self.end_epoch or math.inf)
