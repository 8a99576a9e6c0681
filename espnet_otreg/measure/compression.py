"""What compression leaves of speech embeddings, and whether what it dropped was silence."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.measure.truth import Word


class Shortened(NamedTuple):
    """One utterance, as `slm_inference` tells it."""

    embeddings: int  # the adapter's
    merged: int
    dropped: int
    silent: tuple[int, ...]  # which of the adapter's embeddings are gone


class Report(NamedTuple):
    """A test set under one system; shares are of embeddings, nan where there is nothing."""

    utterances: int
    seconds: float
    before: float  # embeddings per second, of the adapter
    after_merge: float
    after_drop: float
    merged: float  # share of the adapter's embeddings that joined another one
    dropped: float  # share of them that went as silence
    drops_silent: float  # share of the dropped that lie outside words; nan without word times
    silence_dropped: float  # share of those outside words that were dropped; nan without
    capped: int  # answers cut off at the longest allowed


def read_shortening(path: Path) -> tuple[dict[str, Shortened], int]:
    """Read a decoding's `shortening` table, and count the answers that were cut off."""
    found, capped = {}, 0
    for utt, row in read_table(path).items():
        try:
            content = json.loads(row)
            cut = content.pop("capped")
            shortened = Shortened(**{**content, "silent": tuple(content["silent"])})
            _check(shortened, cut)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: {utt} is unreadable ({error}); decode again") from error
        found[utt] = shortened
        capped += cut
    return found, capped


def _check(row: Shortened, cut: Any) -> None:
    """Raise where the numbers are none, or are of embeddings that are not there."""
    numbers = (*row[:3], *row.silent)
    if not isinstance(cut, bool | int) or not all(
        type(n) is int and 0 <= n < 1 << 31 for n in numbers
    ):
        raise TypeError(f"expected whole numbers, got {numbers} and {cut!r}")
    if row.merged + row.dropped > row.embeddings or any(n >= row.embeddings for n in row.silent):
        raise ValueError(f"there are only {row.embeddings} embeddings")


def summarise(
    rows: Mapping[str, Shortened],
    seconds: Mapping[str, float],
    words: Mapping[str, Sequence[Word]] | None = None,
    capped: int = 0,
) -> Report:
    """Add up a test set.

    Args:
        rows: by utterance
        seconds: length of each utterance
        words: true word times, where they are known
        capped: answers that were cut off
    """
    whole = sum(row.embeddings for row in rows.values())
    merged = sum(row.merged for row in rows.values())
    dropped = sum(row.dropped for row in rows.values())
    time = sum(seconds[utt] for utt in rows)
    gone = outside = both = 0
    for utt, row in rows.items() if words is not None else ():
        silence = silent_embeddings(row.embeddings, seconds[utt], words[utt])  # type: ignore[index]
        is_gone = np.zeros(row.embeddings, bool)
        is_gone[list(row.silent)] = True
        gone += int(is_gone.sum())
        outside += int(silence.sum())
        both += int((silence & is_gone).sum())
    return Report(
        len(rows),
        time,
        _share(whole, time),
        _share(whole - merged, time),
        _share(whole - merged - dropped, time),
        _share(merged, whole),
        _share(sum(len(row.silent) for row in rows.values()), whole),
        _share(both, gone) if words is not None else float("nan"),
        _share(both, outside) if words is not None else float("nan"),
        capped,
    )


def silent_embeddings(count: int, seconds: float, words: Iterable[Word]) -> np.ndarray:
    """Tell which of `count` evenly spread embeddings lie outside words for most of their time."""
    edges = np.linspace(0, seconds, count + 1)
    spoken = np.zeros(count)
    for word in words:
        overlap = np.minimum(edges[1:], word.end) - np.maximum(edges[:-1], word.start)
        spoken += overlap.clip(min=0)
    return spoken < 0.5 * seconds / max(count, 1)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
