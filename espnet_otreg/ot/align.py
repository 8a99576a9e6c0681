"""One option decides how frames and tokens are aligned: transport of any kind, or a control."""

import math
from typing import NamedTuple

import torch
from torch.nn import functional

from espnet_otreg.ot.align_options import TRANSPORTS, AlignmentConf
from espnet_otreg.ot.cost import COST_RANGE, cosine_cost, cost_matrix
from espnet_otreg.ot.gromov import fused_gromov
from espnet_otreg.ot.monotone import monotone_plan
from espnet_otreg.ot.prior import counting_prior, squared_offsets, temporal_prior
from espnet_otreg.ot.sinkhorn import sinkhorn
from espnet_otreg.ot.tensors import check_lengths, full_precision, length_mask, zeroed

# Within these the exp domain gave the log domain's plan to 1e-8, in double precision, under every
# cost, place and length tried; in single precision some sums underflowed, and became nan
_SMOOTH = 0.05  # epsilon, at least
_LOOSE = 0.5  # relax_speech, at most
_GIVES = 1.0  # relax_text, at most
_WEAK = 40.0  # temporal_weight / epsilon, at most
_LEFT = 40.0  # nats
_LARGEST_LOGIT = 1e30  # keeps real frames above masked ones for any cost and temperature


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
        if conf.kind == "monotone":
            plan = _monotone(cost, n, m, conf.epsilon)
        elif conf.kind not in TRANSPORTS:
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
    from elsewhere a frame can be far from every token. Where it may drop its mass (`_may_drop`), it
    has none left to speak of; else the log domain alone can hold it.
    """
    if places is not None and not _may_drop(conf, places):
        return math.inf
    return COST_RANGE.get(conf.cost)


def _may_drop(conf: AlignmentConf, places: torch.Tensor) -> bool:
    """Tell whether the exp domain holds it. A GPU is slow in double precision, and not at logs."""
    options = conf.solver(None)
    if places.device.type != "cpu":
        return False
    drops = options.relax_speech <= _LOOSE and options.relax_text <= _GIVES
    weak = options.epsilon >= _SMOOTH and conf.temporal_weight <= _WEAK * options.epsilon
    return drops and weak and conf.structure_weight == 0


def _capped(prior: torch.Tensor, conf: AlignmentConf) -> torch.Tensor:
    """Cap what a relaxed frame can owe, where e^-40 of its mass is left."""
    options = conf.solver(None)
    return prior.clamp(max=_LEFT * (options.relax_speech + options.epsilon))


def _transport(
    cost: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    conf: AlignmentConf,
    places: torch.Tensor | None,
) -> _Plan:
    prior: torch.Tensor | None = None
    spread, dtype = _spread(conf, places), cost.dtype
    if conf.temporal_weight > 0:
        weight = conf.temporal_weight
        if places is not None and _may_drop(conf, places):
            cost = cost.double()
        prior = temporal_prior(n, m, cost.shape, cost.dtype, distance=weight, places=places)
        if cost.dtype != dtype:
            prior = _capped(prior, conf)
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
    plan = sinkhorn(cost, n, m, conf.solver(spread), prior=prior)
    P = plan.coupling[:, 1:, 1:] if conf.dustbin else plan.coupling
    return _Plan(P.to(dtype), plan.marginal_error.to(dtype), plan.converged)


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
    within = cosine_cost(speech, speech), cosine_cost(text, text)
    plan = fused_gromov(cost + prior, *within, n, m, conf.structure(spread))
    return _Plan(plan.coupling, plan.marginal_error, plan.converged)


def _monotone(cost: torch.Tensor, n: torch.Tensor, m: torch.Tensor, epsilon: float) -> _Plan:
    """Keep the tokens' order; an utterance with fewer frames than tokens has no such plan."""
    P, possible = monotone_plan(cost, n, m, epsilon)
    missing = (n > 0) & (m > 0) & ~possible
    return _Plan(P, missing.to(cost.dtype), ~missing)


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
