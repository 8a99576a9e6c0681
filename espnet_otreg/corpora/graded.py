"""The mini corpora that stand for no real one, each in MLS' layout.

They are made by `stages/make_mini`, not downloaded. `graded0` is clean read speech, `graded1` and
`graded2` have ever more pauses, noise, and music where nobody speaks; all three share their
speakers. `broad` has the conditions of every other corpus, for encoders to be pretrained on.

Layout::

    ROOT/mls_<language name>/<split>/...      as in `mls.py`; ROOT is <mini corpora>/<name>
"""

from pathlib import Path

from espnet_otreg.corpora import mls
from espnet_otreg.corpora.record import Prepared, Rejected, absent


class Made:
    """One such corpus, with what the module of any other corpus has."""

    OPTIONS: tuple[str, ...] = ()

    def __init__(self, name: str, people: str) -> None:
        self.NAME = name
        self.VARIABLE = name.upper()
        self.people = people  # corpora of the same people share their speakers' names

    def has_language(self, language: str) -> bool:
        """Whether mini corpora can be in it at all."""
        return mls.has_language(language)

    def languages(self, root: Path) -> list[str]:
        """List the languages that were made."""
        return mls.languages(root)

    def prepare(self, root: Path, language: str, split: str, work: Path) -> Prepared:
        """List one language and split under this corpus' name."""
        if not any(root.glob("mls_*")):
            hint = f"Make it: python -m espnet_otreg.stages.make_mini --corpora {self.NAME}"
            raise absent(f"mini corpus {self.NAME}", [root / "mls_<language>"], self.VARIABLE, hint)
        listed = mls.prepare(root, language, split, work)
        own, other = f"{self.NAME}-{language}-", f"{mls.NAME}-{language}-"
        records = [
            record._replace(
                utt_id=own + record.utt_id.removeprefix(other),
                speaker=record.speaker.replace(mls.NAME, f"{self.people}-{language}", 1),
            )
            for record in listed.records
        ]
        rejected = [
            Rejected(own + entry.where.removeprefix(other), entry.reason)
            if entry.where.startswith(other)
            else entry
            for entry in listed.rejected
        ]
        return Prepared(records, rejected, listed.notes)


MADE = (*(Made(f"graded{level}", "graded") for level in range(3)), Made("broad", "broad"))
