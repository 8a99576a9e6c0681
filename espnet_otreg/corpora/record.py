"""What every corpus reader returns: utterances, and what was left out with the reason."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines

_SPAN = re.compile(r"(.+)#t=(\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?", re.DOTALL)  # a media fragment


class Record(NamedTuple):
    """One utterance as the corpus delivers it."""

    utt_id: str  # {corpus}-{language}-{split}-{clip}, no spaces
    speaker: str
    language: str  # as the user asked for it, so that corpora agree
    text: str  # one line, NFC, not yet normalised for training
    audio: str  # not a Path: there are many; `path#t=start,end` is a part of one, in seconds
    translation: str | None = None
    target: str | None = None  # language of the translation
    license: str | None = None  # where a corpus' recordings have several
    attribution: str | None = None  # whom the licence wants named


class Rejected(NamedTuple):
    """An utterance, or a table's line, that is not used."""

    where: str  # utterance id, or file:line where there is no utterance to name
    reason: str  # "category" or "category: detail"; counted by category


class Prepared(NamedTuple):
    """One language and split of one corpus."""

    records: list[Record]
    rejected: list[Rejected]
    notes: Counter[str]  # harmless things worth a count, such as identical duplicate rows


def one_line(text: str) -> str:
    """Compose to NFC and make any run of white space, line separators included, one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


class Corpus(Protocol):
    """What a corpus' module, or an object in its place, offers."""

    @property
    def NAME(self) -> str:
        """First part of utterance ids and data directories."""

    @property
    def VARIABLE(self) -> str:
        """Variable of db.sh that says where it lies."""

    @property
    def OPTIONS(self) -> tuple[str, ...]:
        """Options of prepare_data that `prepare` takes too."""

    @property
    def prepare(self) -> Callable[..., Prepared]:
        """List one language and split: root, language, split, work and the options."""

    @property
    def has_language(self) -> Callable[[str], bool]:
        """Whether the corpus is in that language at all, downloaded or not."""

    @property
    def languages(self) -> Callable[..., list[str]]:
        """List the languages that lie under root: root, and the options as `prepare` takes them."""


def fault(text: str, name: str, audio: str) -> str:
    """Say why a clip, listed under a file's name, cannot be used; empty if it can."""
    if not text:
        return "empty sentence"
    if os.path.basename(name) != name:
        return f"path is not a plain file name: {name}"
    return "" if os.path.isfile(audio) else f"missing clip: {audio}"


def split_span(audio: str) -> tuple[str, float, float | None]:
    """Return path, start and end in seconds of `path#t=start,end`; the end may be open."""
    found = _SPAN.fullmatch(audio)
    if found is None or os.path.exists(audio):  # a file may have such a name
        return audio, 0.0, None
    return found[1], float(found[2]), float(found[3]) if found[3] else None


def make_utt_id(corpus: str, language: str, split: str, stem: str) -> str:
    """Name an utterance; white space in a file name becomes an underscore."""
    return "_".join(f"{corpus}-{language}-{split}-{stem}".split())


def absent(what: str, looked: Sequence[Path], variable: str, hint: str = "") -> UserError:
    """Say what was looked for, where, and which variable of db.sh leads there."""
    places = "\n".join(f"  {place}" for place in looked)
    advice = f"Set {variable} in db.sh (or --root) to the folder that holds it."
    return UserError(
        f"{what} not found. Looked for:\n{places}\n{advice}{' ' if hint else ''}{hint}"
    )


def by_category(rejected: Iterable[Rejected]) -> Counter[str]:
    """Count rejections by the part of the reason before the first colon."""
    return Counter(entry.reason.partition(":")[0] for entry in rejected)


def counts(counter: Counter[str]) -> str:
    """Write a counter in words, the most frequent first."""
    return ", ".join(f"{reason} ({count})" for reason, count in counter.most_common()) or "nothing"


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write the list as a TSV sorted by where; a file without rows says that nothing was lost."""
    rows = sorted(f"{one_line(entry.where)}\t{one_line(entry.reason)}" for entry in rejected)
    # a file's name may be no Unicode, and must be listed all the same
    write_lines(path, (row.encode("utf-8", "backslashreplace").decode("utf-8") for row in rows))
