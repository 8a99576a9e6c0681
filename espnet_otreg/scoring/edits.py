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


LONGEST_COMPOUND = 4  # words that it may be parted into


def count_edits_of_compounds(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Align two lists of words; a compound that is parted otherwise is no error, on either side.

    The reference keeps its number of words, so that systems stay comparable: all words of a
    compound count as hits.

    >>> count_edits_of_compounds("the white paper".split(), "a whitepaper".split())
    Counts(reference=3, hits=2, substitutions=1, deletions=0, insertions=0)
    """
    joined, heard = _joined(tuple(reference), tuple(hypothesis))
    counts = count_edits(joined, heard)
    return counts._replace(
        reference=len(reference), hits=counts.hits + len(reference) - len(joined)
    )


def _joined(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Write as one word, on both sides, what differs in its spaces alone."""
    sides: tuple[list[str], list[str]] = ([], [])
    differing: tuple[list[str], list[str]] = ([], [])
    for run in Levenshtein.opcodes(reference, hypothesis):
        wanted = reference[run.src_start : run.src_end]
        got = hypothesis[run.dest_start : run.dest_end]
        if run.tag != "equal":
            differing[0].extend(wanted)
            differing[1].extend(got)
            continue
        for side, part in zip(sides, _agreeing(*differing), strict=True):
            side.extend(part)
        differing = ([], [])
        sides[0].extend(wanted)
        sides[1].extend(got)
    for side, part in zip(sides, _agreeing(*differing), strict=True):
        side.extend(part)
    return sides


def _agreeing(wanted: list[str], got: list[str]) -> tuple[list[str], list[str]]:
    """Join the longest compound of two stretches, and so on before and after it."""
    spans = _compounds(got)
    common = [
        (len(text), here, spans[text])
        for text, here in _compounds(wanted).items()
        if text in spans and (here[1] - here[0]) * (spans[text][1] - spans[text][0]) > 1
    ]
    if not common:
        return wanted, got
    _, (i, j), (k, n) = max(common)
    before, after = _agreeing(wanted[:i], got[:k]), _agreeing(wanted[j:], got[n:])
    whole = "".join(wanted[i:j])
    return [*before[0], whole, *after[0]], [*before[1], whole, *after[1]]


def _compounds(words: list[str]) -> dict[str, tuple[int, int]]:
    """Map what up to four words in a row spell to where they are."""
    found: dict[str, tuple[int, int]] = {}
    for start in range(len(words)):
        for end in range(start + 1, min(start + LONGEST_COMPOUND, len(words)) + 1):
            found.setdefault("".join(words[start:end]), (start, end))
    return found


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
