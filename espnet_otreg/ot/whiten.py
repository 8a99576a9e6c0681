"""Whitening: the space in which the rows of a table spread alike in every direction.

Embeddings of tokens lie in a narrow cone, so that a cosine hardly tells them apart. Centred and
scaled by the inverse of their spread, they do not. A whitening has no parameters: it follows from
the table, and both sides of a transport go through the same one.
"""

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch

from espnet_otreg.ot.options import check_number, option
from espnet_otreg.ot.tensors import at_least_float32, full_precision

_ROWS = 8192  # of the table that are looked at together
_TOO_FEW = (
    "shrinkage: expected above 0 where {count} rows do not fill {size} dimensions; received "
    "{shrinkage:g}"
)
_ALIKE = 1e-10  # of the mean square: what is left of equal rows after rounding


@dataclass(frozen=True)
class WhitenOptions:
    """How a table's rows are whitened."""

    shrinkage: float = option(
        0.1, "share of a round covariance in the table's, which whitening divides by; 1 centres "
        "only", low=0, high=1,
    )  # fmt: skip


class Whitening(NamedTuple):
    """x becomes (x - mean) matrix."""

    mean: torch.Tensor  # (D,)
    matrix: torch.Tensor  # (D, D)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Whiten the last dimension; gradients reach x."""
        with full_precision(x.device):
            return (at_least_float32(x) - self.mean) @ self.matrix


@torch.no_grad()
def whitening(rows: torch.Tensor, shrinkage: float = 0.1) -> Whitening:
    """Whiten by the statistics of rows (N, D).

    Their covariance Σ is drawn towards a round one, (1 - s) Σ + s (tr Σ / D) I, where shrinkage
    s = 1 centres only. The matrix is the inverse transposed Cholesky factor of that, which is a
    whitening as good as any, as costs do not see rotations; it is scaled so that the rows keep
    their mean square distance from the mean.
    """
    check_number("shrinkage", shrinkage, low=0, high=1)
    if rows.dim() != 2 or not rows.numel():
        raise ValueError(f"rows: expected (N, D), at least one; received {tuple(rows.shape)}")
    count, size = rows.shape
    with full_precision(rows.device):
        mean, covariance, square = _moments(rows)
        variance = covariance.diagonal().mean()
        if not bool(variance.isfinite()):
            raise ValueError("rows: expected finite numbers; received nan or infinity")
        if bool(variance <= _ALIKE * square) or count < 2:
            raise ValueError(
                f"rows: expected rows that differ; received {count} that are all the same, which "
                "have no spread to whiten by"
            )
        if count <= size:
            if shrinkage == 0:
                raise ValueError(_TOO_FEW.format(count=count, size=size, shrinkage=shrinkage))
            _tell(count, size, shrinkage)
        round_one = torch.eye(size, dtype=covariance.dtype, device=rows.device) * variance
        factor, failed = torch.linalg.cholesky_ex(torch.lerp(covariance, round_one, shrinkage))
        if bool(failed):
            raise ValueError(_TOO_FEW.format(count=count, size=size, shrinkage=shrinkage))
        eye = torch.eye(size, dtype=factor.dtype, device=rows.device)
        matrix = torch.linalg.solve_triangular(factor, eye, upper=False).T * variance.sqrt()
    kind = torch.float64 if rows.dtype == torch.float64 else torch.float32
    return Whitening(mean.to(kind), matrix.to(kind).contiguous())


def _moments(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean (D,), covariance (D, D) and mean square in float64, by parts of the rows."""
    count = len(rows)
    parts = rows.split(_ROWS)  # a large table is never copied whole
    mean = torch.stack([part.sum(0, dtype=torch.float64) for part in parts]).sum(0) / count
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=rows.device)
    for part in parts:
        centred = (part.double() - mean).to(at_least_float32(part).dtype)
        covariance += (centred.T @ centred).double()
    covariance /= count
    return mean, covariance, covariance.diagonal().mean() + mean.square().mean()


@lru_cache  # once, however often a table changes
def _tell(count: int, size: int, shrinkage: float) -> None:
    logging.getLogger(__name__).info(
        "Whitening by %d rows in %d dimensions, too few to tell the spread in all of them: where "
        "they tell nothing, shrinkage %g stands in for it.",
        *(count, size, shrinkage),
    )


class Whitener:
    """Whitens by a table, whose statistics are made anew when it has changed and not before."""

    def __init__(self, shrinkage: float) -> None:
        self.shrinkage = shrinkage
        self._table: tuple[int, int, torch.device] | None = None
        self._made: Whitening | None = None

    def by(self, table: torch.Tensor) -> Whitening:
        """Return the whitening of a table (V, D) as it is now; no gradient reaches the table."""
        table = table.detach()
        now = table.data_ptr(), table._version, table.device  # a step of the optimiser counts up
        if self._made is None or now != self._table:
            with torch.inference_mode(False):  # or training could not use what a look had made
                self._made, self._table = whitening(table, self.shrinkage), now
        return self._made
