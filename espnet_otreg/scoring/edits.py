"""Aligning a reference with a hypothesis: edits counted, and marked for a page.

jiwer wraps rapidfuzz's Levenshtein alignment; called once per utterance, most of its time goes
into checks and records of its own. To count edits, rapidfuzz is asked for the same alignment
directly, and a test holds these counts equal to jiwer's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jiwer
from rapidfuzz.distance import Levenshtein

from espnet_otreg.languages import has_spaces


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


EQUAL, SUBSTITUTED, DELETED, INSERTED = "=", "s", "d", "i"
_KINDS = {"equal": EQUAL, "substitute": SUBSTITUTED, "delete": DELETED, "insert": INSERTED}

Piece = tuple[str, str, str]  # kind, reference's part, hypothesis's part


def mark_differences(reference: str, hypothesis: str, language: str) -> list[Piece]:
    """Align two normalised texts, by characters where the language has no spaces.

    >>> mark_differences("the red hat", "the bed hat now", "en")
    [('=', 'the', 'the'), ('s', 'red', 'bed'), ('=', 'hat', 'hat'), ('i', '', 'now')]
    """
    by_character = not has_spaces(language)
    joint = "" if by_character else " "
    if by_character:
        reference, hypothesis = (text.replace(" ", "") for text in (reference, hypothesis))
    if not reference:  # which jiwer refuses
        return [(INSERTED, "", hypothesis)] if hypothesis else []
    align = jiwer.process_characters if by_character else jiwer.process_words
    out = align(reference, hypothesis)
    wanted, got = out.references[0], out.hypotheses[0]
    return [
        (
            _KINDS[chunk.type],
            joint.join(wanted[chunk.ref_start_idx : chunk.ref_end_idx]),
            joint.join(got[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in out.alignments[0]
    ]
