"""The gap between speech and text in one space: measures that can disagree.

A frame's own token is the piece of the word it lies in; where a word has several pieces, the one
nearest to the frame, as truth knows words and not pieces. Frames of no word are silence. Cosines,
retrieval and transport see directions alone; the distance of the centroids sees lengths too; CKA
sees how tokens lie to each other and not where. An utterance becomes sums, which add up.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from espnet_otreg.errors import UserError
from espnet_otreg.ot.cost import unit_vectors

LOWER, HIGHER = "lower", "higher"
_SHUFFLES = 100  # of the tokens, for the CKA that chance gives


class Measure(NamedTuple):
    """What a measure is called and how it is read."""

    name: str
    label: str
    direction: str  # which values mean a smaller gap: lower or higher
    explanation: str


MEASURES = (
    Measure("own_cosine", "cosine to own token", HIGHER,
            "mean over speech frames of the cosine between the frame and its own token"),
    Measure("other_cosine", "cosine to other tokens", LOWER,
            "mean over speech frames of the mean cosine between the frame and all rows of the "
            "table but those of its word"),
    Measure("retrieval", "retrieval@1", HIGHER,
            "share of speech frames whose nearest row of the whole table, by cosine, is a piece of "
            "their word; chance is the pieces' share of the table"),
    Measure("centroid_distance", "centroid distance", LOWER,
            "|μ_s − μ_t| / √((σ_s² + σ_t²) / 2) of the cloud of speech frames and the cloud of "
            "their own tokens, σ² being the mean squared distance from the centroid μ; not only "
            "directions count, also lengths"),
    Measure("cka", "linear CKA", HIGHER,
            "‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖), Frobenius norms, X the centred means of each token's frames "
            "and Y the centred embeddings of these tokens; blind to rotation, shift and scale; "
            "chance is the mean with tokens shuffled"),
    Measure("silence_at_anchor", "silence at the anchor", HIGHER,
            "share of silent frames, by true word times, whose nearest row of the whole table, by "
            "cosine, is the silence anchor"),
    Measure("ot_cost", "transport cost", LOWER,
            "⟨P, C⟩, mean over utterances, P being the plan and C the cost of the transport term"),
)  # fmt: skip


class GapSums(NamedTuple):
    """One utterance, in sums that panels are made of."""

    speech_frames: int
    own_cosine: float
    other_cosine: float
    retrieved: int
    chance: float  # frames that a random row would retrieve
    silent_frames: int | None  # None where nobody knows which frames are silent
    at_anchor: int
    ot_cost: float
    ids: np.ndarray  # (K,) distinct own tokens
    counts: np.ndarray  # (K,) their frames
    vectors: np.ndarray  # (K, D) sums of these frames
    embeddings: np.ndarray  # (K, D) these tokens' rows of the table
    squares: float  # sum of all speech frames' squared lengths
    vocabulary: int  # rows of the table


class TextTable:
    """Embeddings of the vocabulary (V, D), prepared once for many utterances."""

    def __init__(self, table: Tensor, anchor: int) -> None:
        if table.ndim != 2 or not 0 <= anchor < len(table):
            raise UserError(
                f"expected a table (V, D) and the row of its anchor, got {tuple(table.shape)} "
                f"and {anchor}"
            )
        self.rows, self.anchor = table.detach(), anchor
        self.units = unit_vectors(self.rows.float())

    def __len__(self) -> int:
        return len(self.rows)


def measure_gap(
    speech: Tensor,
    ids: Sequence[int],
    own: np.ndarray,
    text: TextTable,
    ot_cost: float,
    *,
    silence_known: bool = True,
) -> GapSums:
    """Measure one utterance.

    Args:
        speech: (T, D)
        ids: (U,) row of each token of the transcript
        own: (T, U) bool, the tokens that a frame may belong to; a row of none is silence
        text: the vocabulary
        ot_cost: what its transport costs
        silence_known: frames of no token are truly silent, as true word times tell
    """
    expected = (len(speech), len(ids))
    if own.shape != expected or speech.shape[1:] != text.rows.shape[1:]:
        raise UserError(
            f"frames {tuple(speech.shape)}, {len(ids)} tokens, owners {own.shape} and a table "
            f"{tuple(text.rows.shape)} do not fit: owners are (frames, tokens), and frames are as "
            "wide as the table"
        )
    spoken = own.any(1)
    x = speech.detach().float().to(text.rows.device)
    cosine = unit_vectors(x) @ text.units.T  # (T, V)
    nearest = cosine.argmax(1).cpu().numpy()  # (T,)
    frames = np.flatnonzero(spoken)
    columns, allowed = _distinct(own[frames], ids)
    cosine = cosine[torch.as_tensor(frames, device=x.device)]
    to_word = cosine[:, torch.as_tensor(columns, device=x.device)].cpu().double().numpy()
    best = np.where(allowed, to_word, -np.inf).argmax(1) if len(frames) else frames
    pieces = allowed.sum(1)
    others = cosine.sum(1, dtype=torch.float64).cpu().numpy() - np.where(allowed, to_word, 0).sum(1)
    distinct, row, counts = np.unique(columns[best], return_inverse=True, return_counts=True)
    heard = x[torch.as_tensor(frames, device=x.device)].cpu().double().numpy()
    vectors = np.zeros((len(distinct), x.shape[1]))
    np.add.at(vectors, row, heard)
    hits = (columns[None] == nearest[frames, None]) & allowed
    return GapSums(
        speech_frames=len(frames),
        own_cosine=float(to_word[np.arange(len(frames)), best].sum()),
        other_cosine=float((others / np.maximum(len(text) - pieces, 1)).sum()),
        retrieved=int(hits.sum()),
        chance=float(pieces.sum() / len(text)),
        silent_frames=int((~spoken).sum()) if silence_known else None,
        at_anchor=int((nearest[~spoken] == text.anchor).sum()),
        ot_cost=ot_cost,
        ids=distinct,
        counts=counts,
        vectors=vectors,
        embeddings=text.rows[torch.as_tensor(distinct, device=x.device)].cpu().double().numpy(),
        squares=float(np.square(heard).sum()),
        vocabulary=len(text),
    )


def panel(parts: Iterable[GapSums]) -> dict[str, float]:
    """Return every measure over these utterances by name; nan where there is nothing to measure.

    CKA needs more than one utterance's tokens to mean anything: of a few it is close to 1.
    """
    parts = list(parts)
    frames = sum(part.speech_frames for part in parts)
    known = [part for part in parts if part.silent_frames is not None]
    counts, vectors, rows = _tokens(parts)
    return {
        "own_cosine": _ratio(sum(part.own_cosine for part in parts), frames),
        "other_cosine": _ratio(sum(part.other_cosine for part in parts), frames),
        "retrieval": _ratio(sum(part.retrieved for part in parts), frames),
        "centroid_distance": _centroid_distance(
            counts, vectors, sum(part.squares for part in parts), rows
        ),
        "cka": linear_cka(vectors / counts[:, None], rows),
        "silence_at_anchor": _ratio(
            sum(part.at_anchor for part in known), sum(part.silent_frames or 0 for part in known)
        ),
        "ot_cost": _ratio(sum(part.ot_cost for part in parts), len(parts)),
    }


def chance(parts: Iterable[GapSums]) -> dict[str, float]:
    """Return what measures that have a chance level would be if frames knew nothing of text."""
    parts = list(parts)
    counts, vectors, y = _tokens(parts)
    x = vectors / counts[:, None]
    generator = np.random.default_rng(0)
    shuffled = [linear_cka(x, y[generator.permutation(len(y))]) for _ in range(_SHUFFLES)]
    frames = sum(part.speech_frames for part in parts)
    return {
        "retrieval": _ratio(sum(part.chance for part in parts), frames),
        "cka": float(np.mean(shuffled)),
        "silence_at_anchor": _ratio(len(parts), sum(part.vocabulary for part in parts)),
    }


def fractions(part: GapSums) -> dict[str, tuple[float, float]]:
    """Return numerator and denominator of the measures that are a sum over a sum."""
    return {
        "own_cosine": (part.own_cosine, part.speech_frames),
        "other_cosine": (part.other_cosine, part.speech_frames),
        "retrieval": (part.retrieved, part.speech_frames),
        "silence_at_anchor": (part.at_anchor, part.silent_frames or 0),
        "ot_cost": (part.ot_cost, 1),
    }


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Compare two clouds (K, D), (K, D') of the same K things; 1 if one is the other rotated.

    Example:
        >>> x = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
        >>> round(linear_cka(x, 3 * x[:, ::-1] + 7), 9)
        1.0
    """
    if len(x) < 2:
        return np.nan
    x, y = x - x.mean(0), y - y.mean(0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else np.nan


def distance_matrix(speech: Tensor, ids: Sequence[int], text: TextTable) -> np.ndarray:
    """Return cosine distances (T, U + 1) of frames to the transcript in order, the anchor last."""
    rows = text.units[torch.as_tensor([*ids, text.anchor], device=text.units.device)]
    units = unit_vectors(speech.detach().float().to(rows.device))
    return (1 - units @ rows.T).cpu().numpy()


def owners_of_plan(
    coupling: np.ndarray, targets: Sequence[int], ids: Sequence[int], anchor: int
) -> np.ndarray:
    """Let a plan (T, U') decide which tokens of the transcript (U,) a frame belongs to: (T, U).

    It is the target of the largest mass in the frame's row. Judging a space by the plan made in it
    flatters the space: true or forced word times, where there are any, do not.
    """
    best = np.asarray(targets)[coupling.argmax(1)]  # (T,)
    return (best[:, None] == np.asarray(ids)[None]) & (best != anchor)[:, None]


def _distinct(own: np.ndarray, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Join the columns of tokens that come again: distinct ids (K,) and owners (N, K)."""
    distinct, place = np.unique(np.asarray(ids, dtype=np.int64), return_inverse=True)
    joined = np.zeros((len(own), len(distinct)), bool)
    for token, column in enumerate(place):
        joined[:, column] |= own[:, token]
    return distinct, joined


def _tokens(parts: Sequence[GapSums]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add up by token: frames (K,), their sums (K, D), the tokens' embeddings (K, D)."""
    if not any(len(part.ids) for part in parts):
        return np.zeros(0), np.zeros((0, 1)), np.zeros((0, 1))
    _, first, place = np.unique(
        np.concatenate([part.ids for part in parts]), return_index=True, return_inverse=True
    )
    counts = np.bincount(place, np.concatenate([part.counts for part in parts]), len(first))
    vectors = np.zeros((len(first), parts[0].vectors.shape[1]))
    np.add.at(vectors, place, np.concatenate([part.vectors for part in parts]))
    return counts, vectors, np.concatenate([part.embeddings for part in parts])[first]


def _centroid_distance(
    counts: np.ndarray, vectors: np.ndarray, squares: float, rows: np.ndarray
) -> float:
    frames = counts.sum()
    if frames == 0:
        return np.nan
    speech, written = vectors.sum(0) / frames, counts @ rows / frames
    of_speech = squares / frames - speech @ speech
    of_text = counts @ np.square(rows).sum(1) / frames - written @ written
    spread = np.sqrt(max(of_speech + of_text, 0) / 2)
    return float(np.linalg.norm(speech - written) / spread) if spread > 0 else np.nan


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan
