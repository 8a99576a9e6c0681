"""What is known of an alignment before any embedding is seen, as costs added to the matching.

Frame i of n sits at (i + ½) / n of its utterance, token j of m at (j + ½) / m; multiplied by n m
their difference is (i + ½) m - (j + ½) n, a multiple of ½ that single precision holds exactly.
Where more is known of a token's place, such as when CTC emits it, this stands for (j + ½) / m.
"""

import torch


def squared_offsets(
    n: torch.Tensor,
    m: torch.Tensor,
    shape: torch.Size,
    dtype: torch.dtype,
    places: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return ((i + ½) m - (j + ½) n)² for lengths n, m (B,) as a matrix of shape (B, T, U).

    `places` (B, U), in frames from the start, stand for (j + ½) n / m.
    """
    frames = torch.arange(shape[1], device=n.device, dtype=dtype) + 0.5
    rows = frames * m.to(dtype).unsqueeze(1)  # (B, T)
    if places is None:
        tokens = torch.arange(shape[2], device=n.device, dtype=dtype) + 0.5
        columns = tokens * n.to(dtype).unsqueeze(1)  # (B, U)
    else:
        columns = places.to(rows) * m.to(dtype).unsqueeze(1)
    return (rows.unsqueeze(2) - columns.unsqueeze(1)).square_()


def temporal_prior(
    n: torch.Tensor,
    m: torch.Tensor,
    shape: torch.Size,
    dtype: torch.dtype,
    *,
    distance: float,
    gap: float = 0.0,
    places: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the cost of leaving the diagonal, distance * d² + gap * |i/n - j/m|² (B, T, U).

    d = |i/n - j/m| / √(1/n² + 1/m²) is the distance to the diagonal of the matrix, counted in
    its cells (arXiv 2409.02239); |i/n - j/m| counts in whole utterances (2505.13079).
    With `places` of the tokens both are distances to these.
    """
    frames, tokens = (lengths.clamp(min=1).to(dtype) for lengths in (n, m))
    scale = distance / (frames.square() + tokens.square()) + gap / (frames * tokens).square()
    return squared_offsets(n, m, shape, dtype, places).mul_(scale.view(-1, 1, 1))


def counting_prior(
    n: torch.Tensor, m: torch.Tensor, dtype: torch.dtype, epsilon: float
) -> torch.Tensor:
    """Return -epsilon log(n m) (B, 1, 1), which makes of epsilon KL(P | a b) the papers' -H.

    epsilon sum P (log P - 1) is epsilon sum P (log(P / ab) - 1) + epsilon log(ab) sum P, with
    ab = 1 / (n m). Where a marginal is hard the mass is 1 and this changes no plan.
    """
    cells = (n * m).clamp(min=1).to(dtype)
    return (-epsilon * cells.log()).view(-1, 1, 1)
