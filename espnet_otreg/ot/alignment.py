"""One option decides how frames and tokens are aligned: transport of any kind, or a control."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

from espnet_otreg.ot.cost import COST_RANGE, COSTS, cosine_cost, cost_matrix
from espnet_otreg.ot.gromov import check_gromov_options, fused_gromov
from espnet_otreg.ot.options import check_choice, check_number, check_solver_options
from espnet_otreg.ot.padding import check_lengths, length_mask, zeroed
from espnet_otreg.ot.precision import full_precision
from espnet_otreg.ot.prior import counting_prior, squared_offsets, temporal_prior
from espnet_otreg.ot.sinkhorn import sinkhorn

TRANSPORTS = ("balanced", "unbalanced", "semi_relaxed")
KINDS = (*TRANSPORTS, "diagonal", "softmax")
REFERENCES = ("product", "counting")
PLACES = ("diagonal", "ctc")

# Whether frames, and whether tokens, may fall short of their mass.
_RELAXED = {"balanced": (False, False), "unbalanced": (True, True), "semi_relaxed": (True, False)}

_LARGEST_LOGIT = 1e30  # keeps real frames above masked ones for any cost and temperature


@dataclass(frozen=True)
class AlignmentConf:
    """`alignment_conf` of a configuration; a wrong value is a ValueError that names its key."""

    kind: str = "unbalanced"  # balanced | unbalanced | semi_relaxed | diagonal | softmax
    cost: str = "cosine"  # cosine | sqeuclidean
    epsilon: float = 0.05  # entropic smoothing of transport, in units of the cost
    max_iters: int = 50
    tol: float = 1e-3  # on the L1 error of the frame masses
    relax_speech: float = 0.5  # λ1, KL strength on the frames: unbalanced, semi_relaxed
    relax_text: float = 1.0  # λ2, KL strength on the tokens: unbalanced
    reference: str = "product"  # of the entropy: product, or counting, the papers' -H
    temporal_weight: float = 0.0  # β of the additive prior β d²
    temporal_places: str = "diagonal"  # d is from there, or from where CTC emits the token: ctc
    structure_weight: float = 0.0  # α of fused Gromov-Wasserstein; above 0 needs balanced
    structure_temporal_weight: float = 0.3  # ρ on |i/n - j/m|², enters with structure_weight
    proximal_weight: float = 0.5  # of KL(P | last P) there, in place of epsilon
    outer_iters: int = 5  # proximal steps there
    inner_iters: int = 20  # Sinkhorn iterations in each, in place of max_iters
    dustbin: bool = False  # one more row and column, for what matches nothing
    dustbin_similarity: float = 0.5  # their cosine with everything
    window: float = 5.0  # diagonal: standard deviation of the Gaussian at its place, in frames
    temperature: float = 0.1  # softmax: over frames, of similarity / temperature

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        check_choice("cost", self.cost, COSTS)
        check_choice("reference", self.reference, REFERENCES)
        check_choice("temporal_places", self.temporal_places, PLACES)
        check_solver_options(
            self.epsilon, self.max_iters, self.tol, self.relax_speech, self.relax_text, "auto",
            False,
        )  # fmt: skip
        check_gromov_options(
            self.structure_weight, self.proximal_weight, self.outer_iters, self.inner_iters
        )
        for key, low, above in (
            ("temporal_weight", 0, False),
            ("structure_temporal_weight", 0, False),
            ("dustbin_similarity", -1, False),
            ("window", 0, True),
            ("temperature", 0, True),
        ):
            check_number(key, getattr(self, key), low, above=above)
        if not isinstance(self.dustbin, bool):
            raise ValueError(f"dustbin: expected true or false; received {self.dustbin!r}")
        if self.dustbin_similarity > 1:
            raise ValueError(
                "dustbin_similarity: expected a cosine from -1 to 1; "
                f"received {self.dustbin_similarity!r}"
            )
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
            ("reference", self.reference != "product", TRANSPORTS, "no other has an entropy"),
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


class Alignment(NamedTuple):
    """A plan between frames and tokens, and its cost."""

    coupling: torch.Tensor  # (B, T, U) the plan P without dustbin, 0 on padding; constant
    cost: torch.Tensor  # (B,) <P, C> over the same cells, no prior or structure counted
    marginal_error: torch.Tensor  # (B,) L1 distance of the frame masses from what they must be
    converged: torch.Tensor  # (B,) true where that error came within tol
    text_mass: torch.Tensor  # (B, U) of each token
    speech_mass: torch.Tensor  # (B, T) of each frame


def align(
    speech: torch.Tensor,
    speech_lengths: torch.Tensor,
    text: torch.Tensor,
    text_lengths: torch.Tensor,
    conf: AlignmentConf,
    places: torch.Tensor | None = None,
) -> Alignment:
    """Align speech (B, T, D) with text (B, U, D) as the configuration says.

    `places` (B, U) say where CTC emits each token, in frames from the start; they are needed, and
    used, with temporal_places ctc.

    Gradient: the plan is a constant; `cost` is <P, C>, differentiated through C to both sides.
    Utterances with an empty side have a zero plan and, with a graph, cost 0.
    """
    check_lengths("speech_lengths", speech_lengths, *speech.shape[:2])
    check_lengths("text_lengths", text_lengths, *text.shape[:2])
    n, m = speech_lengths.to(speech.device), text_lengths.to(speech.device)
    speech, text = zeroed(speech, n), zeroed(text, m)
    cost = cost_matrix(speech, text, conf.cost)
    places = _places(places, cost, conf)
    with torch.no_grad(), full_precision(speech.device):
        if conf.kind not in TRANSPORTS:
            plan = _column_plan(cost, n, m, conf, places)
        elif conf.structure_weight > 0:
            plan = _structured(cost, speech, text, n, m, conf, places)
        else:
            plan = _transport(cost, n, m, conf, places)
    P = plan.coupling
    return Alignment(
        P, (P * cost).sum((1, 2)), plan.marginal_error, plan.converged, P.sum(1), P.sum(2)
    )


class _Plan(NamedTuple):
    coupling: torch.Tensor  # (B, T, U)
    marginal_error: torch.Tensor  # (B,)
    converged: torch.Tensor  # (B,)


def _places(
    places: torch.Tensor | None, cost: torch.Tensor, conf: AlignmentConf
) -> torch.Tensor | None:
    if conf.temporal_places == "diagonal":
        return None
    expected = cost.shape[0], cost.shape[2]
    if places is None or places.shape != expected:
        raise ValueError(
            f"temporal_places ctc: expected places of shape (B, U) = {expected}; received "
            f"{None if places is None else tuple(places.shape)}"
        )
    return places.to(cost.device)


def _spread(conf: AlignmentConf, places: torch.Tensor | None) -> float | None:
    """Return the bound of the cost's spread by which `sinkhorn` chooses its domain.

    The diagonal's prior β d² reaches hundreds and is left out: what it lifts by more than the cost
    can outweigh is empty in any domain. The exp domain gave the log domain's plan, to 1e-5, under
    every cost tried, those made to tilt the potentials along the diagonal included. With places
    from elsewhere a frame can be far from every token, which the log domain alone can hold.
    """
    if places is not None:
        return math.inf
    return COST_RANGE.get(conf.cost)


def _transport(
    cost: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    conf: AlignmentConf,
    places: torch.Tensor | None,
) -> _Plan:
    prior: torch.Tensor | None = None
    spread = _spread(conf, places)
    if conf.temporal_weight > 0:
        weight = conf.temporal_weight
        prior = temporal_prior(n, m, cost.shape, cost.dtype, distance=weight, places=places)
    if conf.dustbin:
        cost = functional.pad(cost, (1, 0, 1, 0), value=1 - conf.dustbin_similarity)
        prior = None if prior is None else functional.pad(prior, (1, 0, 1, 0))
        spoken = (n > 0) & (m > 0)  # nothing but a dustbin is still nothing
        n, m = (n + 1) * spoken, (m + 1) * spoken
    if conf.reference == "counting":
        shift = counting_prior(n, m, cost.dtype, conf.epsilon)
        prior = shift if prior is None else prior + shift
        if spread is not None:  # not spread, but as large a number where entries are exponents
            spread += conf.epsilon * math.log(max(cost.shape[1] * cost.shape[2], 1))
    speech, text = _RELAXED[conf.kind]
    plan = sinkhorn(
        cost, n, m, epsilon=conf.epsilon, max_iters=conf.max_iters, tol=conf.tol, prior=prior,
        relax_speech=conf.relax_speech if speech else math.inf,
        relax_text=conf.relax_text if text else math.inf, cost_range=spread,
    )  # fmt: skip
    P = plan.coupling[:, 1:, 1:] if conf.dustbin else plan.coupling
    return _Plan(P, plan.marginal_error, plan.converged)


def _structured(
    cost: torch.Tensor,
    speech: torch.Tensor,
    text: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    conf: AlignmentConf,
    places: torch.Tensor | None,
) -> _Plan:
    """Fused Gromov-Wasserstein on the cosine distances within each side."""
    alpha = conf.structure_weight
    prior = temporal_prior(
        n, m, cost.shape, cost.dtype, places=places,
        distance=conf.temporal_weight, gap=conf.structure_temporal_weight,
    )  # fmt: skip
    spread = _spread(conf, places)
    if spread is not None:  # squares of cosine differences reach 4, twice in the linearisation
        spread = (1 - alpha) * (spread + conf.structure_temporal_weight) + alpha * 8
    plan = fused_gromov(
        cost, cosine_cost(speech, speech), cosine_cost(text, text), n, m,
        structure_weight=alpha, proximal_weight=conf.proximal_weight,
        outer_iters=conf.outer_iters, inner_iters=conf.inner_iters, tol=conf.tol,
        prior=prior, cost_range=spread,
    )  # fmt: skip
    return _Plan(plan.coupling, plan.marginal_error, plan.converged)


def _column_plan(
    cost: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    conf: AlignmentConf,
    places: torch.Tensor | None,
) -> _Plan:
    """Spread each token's mass 1 / m over the frames, by place or by likeness."""
    if conf.kind == "diagonal":
        # a place is so many frames from the start, (j + ½) n / m or given: offsets / m are frames
        width = 2 * (conf.window * m.clamp(min=1).to(cost.dtype)).square().view(-1, 1, 1)
        logits = -squared_offsets(n, m, cost.shape, cost.dtype, places) / width
    else:
        logits = -cost / conf.temperature
    rows, columns = length_mask(n, cost.shape[1]), length_mask(m, cost.shape[2])
    padding = ~(rows.unsqueeze(2) & columns.unsqueeze(1))
    logits = logits.clamp(min=-_LARGEST_LOGIT).masked_fill(padding, torch.finfo(cost.dtype).min)
    P = logits.softmax(1).masked_fill(padding, 0) / m.clamp(min=1).view(-1, 1, 1)
    error = torch.zeros_like(n, dtype=cost.dtype)
    return _Plan(P, error, torch.ones_like(error, dtype=torch.bool))
