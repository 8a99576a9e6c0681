"""The graded mini corpora: MLS' layout, once per level, each a corpus of its own.

They are made by `bin/make_mini`, not downloaded: level 0 is clean read speech, levels 1 and 2 have
ever more pauses, noise, and music where nobody speaks. All levels share their speakers.

Layout::

    ROOT/mls_<language name>/<split>/...      as in `mls.py`; ROOT is <mini corpora>/graded<level>
"""

from pathlib import Path

from espnet_otreg.corpora import mls
from espnet_otreg.corpora.record import Prepared, Rejected, absent


class Level:
    """One level, with what the module of any other corpus has."""

    OPTIONS: tuple[str, ...] = ()

    def __init__(self, level: int) -> None:
        self.NAME = f"graded{level}"
        self.VARIABLE = self.NAME.upper()

    def prepare(self, root: Path, language: str, split: str, work: Path) -> Prepared:
        """List one language and split under this level's name."""
        if not any(root.glob("mls_*")):
            hint = f"Make it: python -m espnet_otreg.bin.make_mini --corpora {self.NAME}"
            raise absent(f"mini corpus {self.NAME}", [root / "mls_<language>"], self.VARIABLE, hint)
        listed = mls.prepare(root, language, split, work)
        own, other = f"{self.NAME}-{language}-", f"{mls.NAME}-{language}-"
        records = [
            record._replace(
                utt_id=own + record.utt_id.removeprefix(other),
                speaker=record.speaker.replace(mls.NAME, f"graded-{language}", 1),
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


LEVELS = tuple(map(Level, range(3)))
