"""`ot_conf` of a configuration: every key, its type and its range, checked before data is read."""

import math
from dataclasses import dataclass

from espnet_otreg.ot.cost import COSTS
from espnet_otreg.ot.options import SolverOptions, check_options, option, same

TABLES = ("decoder", "ctc", "llm")


@dataclass(frozen=True)
class OTConf:
    """The optimal-transport term, with the defaults of `model: otreg`."""

    weight: float = option(0.3, "λ_OT: share of the term in the loss; 0 is the stock model", low=0)
    sparsity_weight: float = option(0.1, "λ_spr, of the sparsity: one frame, one token", low=0)
    cost: str = option("cosine", "between a frame and a token", choices=tuple(COSTS))
    epsilon: float = same(SolverOptions, "epsilon", 0.1)
    max_iters: int = same(SolverOptions, "max_iters", 50)
    relax_speech: float = same(SolverOptions, "relax_speech", math.inf)
    relax_text: float = same(SolverOptions, "relax_text", math.inf)
    frames_per_token: float | None = option(
        None, "frames that a token weighs, silence those that are left; null: all weigh the same",
        low=0, above=True,
    )  # fmt: skip
    text_table: str = option(
        "decoder", "whose rows are the targets: the decoder's input embedding, those of the CTC "
        "layer, or the language model's of model: slm", choices=TABLES,
    )  # fmt: skip
    unique_threshold: float = option(
        0.99, "tokens nearer than this cosine are one target", low=0, above=True, high=1
    )
    start_epoch: int = option(1, "first epoch in which the term enters the loss", low=1)
    end_epoch: int | None = option(None, "last such epoch; null: the last of all", low=1)
    control: str = option(
        "none", "shuffled: every utterance gets its batch neighbour's transcript, to see what is "
        "not the transcript's doing", choices=("none", "shuffled"),
    )  # fmt: skip
    unroll: bool = same(SolverOptions, "unroll", False)

    def __post_init__(self) -> None:
        check_options(self)
        if self.end_epoch is not None and self.end_epoch < self.start_epoch:
            raise ValueError(
                f"end_epoch: expected start_epoch ({self.start_epoch}) or later, or null; "
                f"received {self.end_epoch}"
            )

    def solver(self) -> SolverOptions:
        """Return the solver's part of it."""
        return SolverOptions(
            self.epsilon,
            self.max_iters,
            relax_speech=self.relax_speech,
            relax_text=self.relax_text,
            unroll=self.unroll,
        )

    def active(self, epoch: int) -> bool:
        """Tell whether the term enters the loss of this epoch, counted from 1."""
        return self.weight > 0 and self.start_epoch <= epoch <= (self.end_epoch or math.inf)
