"""Where a hypothesis parts from its reference, as pieces that a page can mark."""

import jiwer

from espnet_otreg.scoring.wer import scored_in_characters

EQUAL, SUBSTITUTED, DELETED, INSERTED = "=", "s", "d", "i"
_KINDS = {"equal": EQUAL, "substitute": SUBSTITUTED, "delete": DELETED, "insert": INSERTED}

Piece = tuple[str, str, str]  # kind, reference's part, hypothesis's part


def mark_differences(reference: str, hypothesis: str, language: str) -> list[Piece]:
    """Align two normalised texts, by characters where the language has no spaces.

    >>> mark_differences("the red hat", "the bed hat now", "en")
    [('=', 'the', 'the'), ('s', 'red', 'bed'), ('=', 'hat', 'hat'), ('i', '', 'now')]
    """
    by_character = scored_in_characters(language)
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
