"""`alignment_conf` of a configuration: which kind of alignment, and all that each kind takes."""

import math
from dataclasses import dataclass

from espnet_otreg.ot.cost import COSTS
from espnet_otreg.ot.gromov import GromovOptions
from espnet_otreg.ot.options import SolverOptions, check_options, option, same

TRANSPORTS = ("balanced", "unbalanced", "semi_relaxed")
KINDS = (*TRANSPORTS, "monotone", "diagonal", "softmax")
REFERENCES = ("product", "counting")
PLACES = ("diagonal", "ctc")

# Whether frames, and whether tokens, may fall short of their mass.
_RELAXED = {"balanced": (False, False), "unbalanced": (True, True), "semi_relaxed": (True, False)}


@dataclass(frozen=True)
class AlignmentConf:
    """How frames and tokens are aligned."""

    kind: str = option(
        "unbalanced", "transport with hard, relaxed or half relaxed marginals; monotone: all ways "
        "through the tokens in their order; or a control: diagonal by place alone, softmax by "
        "likeness alone", choices=KINDS,
    )  # fmt: skip
    cost: str = option("cosine", "between a frame and a token", choices=tuple(COSTS))
    epsilon: float = same(SolverOptions, "epsilon", 0.05)
    max_iters: int = same(SolverOptions, "max_iters", 50, "iterations at most; of transport")
    tol: float = same(SolverOptions, "tol", 1e-3)
    relax_speech: float = same(
        SolverOptions, "relax_speech", 0.5,
        "λ1, KL strength on the frames' masses; of unbalanced and semi_relaxed",
    )  # fmt: skip
    relax_text: float = same(
        SolverOptions, "relax_text", 1.0, "λ2, KL strength on the tokens' masses; of unbalanced"
    )
    reference: str = option(
        "product", "of the entropy: the product of the weights, or counting, the papers' -H",
        choices=REFERENCES,
    )  # fmt: skip
    temporal_weight: float = option(
        0.0, "β of the prior β d², d in tokens from where the token is expected; of transport",
        low=0,
    )  # fmt: skip
    temporal_places: str = option(
        "diagonal", "where tokens are expected: on the diagonal, or where CTC emits them",
        choices=PLACES,
    )  # fmt: skip
    structure_weight: float = same(
        GromovOptions, "structure_weight", 0.0,
        "α of fused Gromov-Wasserstein; above 0 needs balanced",
    )  # fmt: skip
    structure_temporal_weight: float = option(
        0.3, "ρ of the prior ρ |i/n - j/m|², which enters with structure_weight", low=0
    )
    proximal_weight: float = same(
        GromovOptions, "proximal_weight", 0.5,
        "of KL(P | last P) in a proximal step of structure_weight, in place of epsilon",
    )  # fmt: skip
    outer_iters: int = same(GromovOptions, "outer_iters", 5, "proximal steps of structure_weight")
    inner_iters: int = same(
        GromovOptions, "inner_iters", 20, "Sinkhorn iterations in each, in place of max_iters"
    )
    dustbin: bool = option(
        False, "one more row and column, for what matches nothing; of unbalanced and semi_relaxed"
    )
    dustbin_similarity: float = option(0.5, "cosine of the dustbin with everything", low=-1, high=1)
    window: float = option(
        5.0, "of diagonal: standard deviation of the Gaussian at a token's place, in frames",
        low=0, above=True,
    )  # fmt: skip
    temperature: float = option(
        0.1, "of softmax, which is over frames, of -cost / temperature", low=0, above=True
    )

    def __post_init__(self) -> None:
        check_options(self)
        self._check_relaxations()
        self._check_combinations()

    def _check_relaxations(self) -> None:
        speech, text = map(math.isinf, (self.relax_speech, self.relax_text))
        if self.kind == "unbalanced" and speech and text:
            raise ValueError(
                "relax_speech, relax_text: expected at least one finite where kind is unbalanced; "
                "received inf and inf; use kind: balanced for two hard marginals"
            )
        if self.kind == "semi_relaxed" and speech:
            raise ValueError(
                "relax_speech: expected a finite number where kind is semi_relaxed; received "
                "inf; use kind: balanced for two hard marginals"
            )

    def _check_combinations(self) -> None:
        """Refuse what the kind would leave without effect."""
        for key, used, kinds, why in (
            ("temporal_weight", self.temporal_weight > 0, TRANSPORTS, "no other adds a prior"),
            ("reference", self.reference != "product", TRANSPORTS, "no other has one"),
            ("structure_weight", self.structure_weight > 0, TRANSPORTS[:1], "both marginals hard"),
            ("dustbin", self.dustbin, TRANSPORTS[1:], "hard marginals would fix what it takes"),
        ):
            if used and self.kind not in kinds:
                raise ValueError(
                    f"{key}: {getattr(self, key)!r} needs kind {' or '.join(kinds)} ({why}); "
                    f"received kind {self.kind!r}"
                )
        gap = self.structure_weight > 0 and self.structure_temporal_weight > 0
        prior = self.structure_weight < 1 and (self.temporal_weight > 0 or gap)
        if self.temporal_places != "diagonal" and self.kind != "diagonal" and not prior:
            raise ValueError(
                f"temporal_places: {self.temporal_places!r} needs kind diagonal, or transport with "
                "temporal_weight above 0 (such as 2.0) and structure_weight below 1; received kind "
                f"{self.kind!r}, temporal_weight {self.temporal_weight!r}, structure_weight "
                f"{self.structure_weight!r}"
            )
        if self.dustbin and self.cost != "cosine":
            raise ValueError(
                "dustbin: true needs cost cosine, as dustbin_similarity is a cosine; "
                f"received cost {self.cost!r}"
            )

    def solver(self, cost_range: float | None) -> SolverOptions:
        """Return the options of plain transport; a side that the kind keeps hard is not relaxed."""
        speech, text = _RELAXED[self.kind]
        return SolverOptions(
            self.epsilon,
            self.max_iters,
            self.tol,
            relax_speech=self.relax_speech if speech else math.inf,
            relax_text=self.relax_text if text else math.inf,
            cost_range=cost_range,
        )

    def structure(self, cost_range: float | None) -> GromovOptions:
        """Return the options of fused Gromov-Wasserstein."""
        return GromovOptions(
            self.structure_weight,
            self.proximal_weight,
            self.outer_iters,
            self.inner_iters,
            tol=self.tol,
            cost_range=cost_range,
        )
