"""What a reader must know of a test set besides its numbers."""

from collections.abc import Iterator, Sequence

from espnet_otreg.scoring.comparison import System
from espnet_otreg.scoring.score_file import Scored
from espnet_otreg.scoring.wer import TOTAL


def caveats(
    test_set: str, systems: Sequence[System], scores: Sequence[Sequence[Scored]]
) -> Iterator[str]:
    """Say, in sentences, what was done to hypotheses and what speakers and languages are not."""
    for system, group in zip(systems, scores, strict=True):
        for folder, scored in zip(system.folders, group, strict=True):
            who = system.name if len(group) == 1 else f"{system.name} ({folder.name})"
            if scored.missing:
                yield (
                    f"{who} has no hypothesis for {scored.missing:,} of the "
                    f"{len(scored.utterances):,} utterances of {test_set}; each counts as empty, "
                    "every word deleted."
                )
            if scored.ignored:
                yield (
                    f"{scored.ignored:,} hypotheses of {who} for {test_set} have no reference and "
                    "were left out."
                )
    first = scores[0][0]
    total = first.summaries[TOTAL]
    if total.speakers == total.utterances > 1:
        yield (
            f"In {test_set} every utterance counts as a speaker of its own; if people speak "
            "several, its intervals are too narrow."
        )
    silent = [name for name, part in first.summaries.items() if not part.primary.reference]
    if silent:
        yield (
            f"{', '.join(silent)} in {test_set} has no reference word, so no error rate, and is "
            "left out of the macro average."
        )
