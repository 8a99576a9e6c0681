"""Transport problems for tests: random ragged batches, and inputs with their exact answers."""

import math
from typing import NamedTuple

import torch
from hypothesis import strategies as st

from espnet_otreg.ot import TransportPlan, sinkhorn
from espnet_otreg.ot.tensors import length_mask

INF = math.inf
METHODS = ["log", "exp"]
RELAXATIONS = [(INF, INF), (0.5, 0.5), (0.5, INF), (INF, 0.5)]

finite_costs = st.floats(0.0, 2.0, allow_nan=False, width=32)
epsilons = st.sampled_from([0.03, 0.1, 0.5])


class Solved(NamedTuple):
    """A batch of one problem and what a right solver must return for it."""

    cost: torch.Tensor  # (1, T, U) float64
    plan: torch.Tensor  # (1, T, U)
    value: float
    relax: tuple[float, float]
    epsilon: float


@st.composite
def separable(draw) -> Solved:
    """C_ij = r_i + c_j: nothing is gained by matching, so the plan is the product measure."""
    r = torch.tensor(draw(st.lists(finite_costs, min_size=1, max_size=7)), dtype=torch.double)
    c = torch.tensor(draw(st.lists(finite_costs, min_size=1, max_size=7)), dtype=torch.double)
    cost = (r.unsqueeze(1) + c).unsqueeze(0)
    plan = torch.full_like(cost, 1 / cost.numel())
    return Solved(cost, plan, float(r.mean() + c.mean()), (INF, INF), draw(epsilons))


@st.composite
def swaps(draw) -> Solved:
    """[[0, c], [c, 0]]: by symmetry both potentials are equal and P is a softmax over two."""
    c, epsilon = draw(finite_costs), draw(epsilons)
    stay = 0.5 / (1 + math.exp(-c / epsilon))
    go = 0.5 - stay
    plan = torch.tensor([[[stay, go], [go, stay]]], dtype=torch.double)
    value = -epsilon * math.log((1 + math.exp(-c / epsilon)) / 2)
    cost = torch.tensor([[[0.0, c], [c, 0.0]]], dtype=torch.double)
    return Solved(cost, plan, value, (INF, INF), epsilon)


@st.composite
def relaxed_atoms(draw) -> Solved:
    """One frame, one token: p minimises p c + s (p log p - p + 1) with s the sum of strengths."""
    c, epsilon = draw(finite_costs), draw(epsilons)
    relax = draw(st.tuples(st.floats(0.05, 5.0), st.floats(0.05, 5.0)))
    strength = epsilon + sum(relax)
    mass = math.exp(-c / strength)
    value = mass * c + strength * (mass * math.log(mass) - mass + 1)
    cost = torch.tensor([[[c]]], dtype=torch.double)
    return Solved(cost, torch.full_like(cost, mass), value, relax, epsilon)


@st.composite
def permutations(draw) -> tuple[torch.Tensor, torch.Tensor]:
    """0 on a permutation, 1 elsewhere: as epsilon vanishes the plan is the permutation."""
    order = torch.tensor(draw(st.permutations(range(draw(st.integers(1, 8))))))
    matrix = torch.eye(len(order), dtype=torch.double)[order].unsqueeze(0)
    return 1 - matrix, matrix / len(order)


def ragged(seed: int = 0, dtype: torch.dtype = torch.double):
    """Return a cost (4, 9, 6) in [0, 2] with lengths, one utterance full, one of length 1."""
    generator = torch.Generator().manual_seed(seed)
    cost = 2 * torch.rand(4, 9, 6, generator=generator, dtype=torch.double)
    return cost.to(dtype), torch.tensor([9, 5, 7, 1]), torch.tensor([6, 6, 3, 1])


def full(cost: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lengths of a batch without padding."""
    batch, frames, tokens = cost.shape
    return torch.full((batch,), frames), torch.full((batch,), tokens)


def solve(cost: torch.Tensor, n=None, m=None, **options) -> TransportPlan:
    """Solve to the end, unless the options say otherwise."""
    lengths = full(cost) if n is None else (n, m)
    return sinkhorn(cost, *lengths, **{"max_iters": 2000, "tol": 1e-12, **options})


def valid(n: torch.Tensor, m: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return length_mask(n, shape[1]).unsqueeze(2) & length_mask(m, shape[2]).unsqueeze(1)


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (torch.xlogy(p, p / q) - p + q).sum()


def primal(cost, plan, epsilon: float, relax: tuple[float, float]) -> torch.Tensor:
    """Return the regularised objective of one unpadded problem (T, U), written out."""
    a = plan.new_full((plan.shape[0],), 1 / plan.shape[0])
    b = plan.new_full((plan.shape[1],), 1 / plan.shape[1])
    value = (plan * cost).sum() + epsilon * kl(plan, a.unsqueeze(1) * b)
    for strength, mass, weight in ((relax[0], plan.sum(1), a), (relax[1], plan.sum(0), b)):
        if not math.isinf(strength):
            value = value + strength * kl(mass, weight)
    return value
