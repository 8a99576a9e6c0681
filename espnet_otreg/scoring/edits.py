"""Counting edits: the alignment that jiwer makes, without what else it does per call.

jiwer wraps rapidfuzz's Levenshtein alignment; called once per utterance, most of its time goes
into checks and records of its own. Here rapidfuzz is asked for the same alignment directly, and a
test holds these counts equal to jiwer's.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein


class Counts(NamedTuple):
    """The outcome of aligning hypotheses with references."""

    reference: int  # words or characters in the references
    hits: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors per reference unit; None when there is no reference unit at all."""
        return self.errors / self.reference if self.reference else None


def count_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Align two lists of words, or two strings by characters."""
    length = len(reference)
    if reference == hypothesis:
        return Counts(length, length, 0, 0, 0)
    done = {"equal": 0, "replace": 0, "delete": 0, "insert": 0}
    for run in Levenshtein.opcodes(reference, hypothesis):
        done[run.tag] += max(run.src_end - run.src_start, run.dest_end - run.dest_start)
    return Counts(length, done["equal"], done["replace"], done["delete"], done["insert"])
