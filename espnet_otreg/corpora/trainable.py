"""What a model can train on: transcripts in one spelling, utterances neither empty, short nor long.

A scorer has a normaliser of its own. Tokens against encoder frames are checked where tokens exist,
in `stages/shapes.py`.
"""

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import Rejected, one_line
from espnet_otreg.errors import UserError


class Limits(NamedTuple):
    """The bounds of a set in seconds, both inclusive."""

    min_duration: float = 0.1
    max_duration: float = 20.0


class Filtered(NamedTuple):
    """What stays, and what does not."""

    data: DataDir
    rejected: list[Rejected]


def filter_set(data: DataDir, fs: int, limits: Limits) -> Filtered:
    """Drop utterances without text or outside the limits; `fs` is the rate of the recordings."""
    if "utt2num_samples" not in data.tables:
        raise UserError("utt2num_samples is missing: run stages/format_audio on this set first.")
    if not 0 <= limits.min_duration < limits.max_duration:
        raise UserError(
            f"durations from {limits.min_duration:g} to {limits.max_duration:g} s leave nothing; "
            "expected 0 <= --min_wav_duration < --max_wav_duration"
        )
    rejected = []
    for utt in data.ids:
        seconds = int(data.tables["utt2num_samples"][utt]) / fs
        reason = _reason(data.tables["text"][utt], seconds, limits)
        if reason:
            rejected.append(Rejected(utt, reason))
    dropped = {entry.where for entry in rejected}
    return Filtered(data.subset(utt for utt in data.ids if utt not in dropped), rejected)


def _reason(text: str, seconds: float, limits: Limits) -> str:
    """Return why an utterance is dropped, empty if it stays."""
    if not text:
        return "empty transcript"
    if seconds < limits.min_duration:
        return f"too short: {seconds:.3f} s, the limit is {limits.min_duration:g} s"
    if seconds > limits.max_duration:
        return f"too long: {seconds:.3f} s, the limit is {limits.max_duration:g} s"
    return ""


_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07\u00b4\u0060", "'"))
_DOTTED_I = str.maketrans({"I": "ı", "İ": "i"})
_JOINERS = "\u200c\u200d"  # part of the spelling in Persian and in Indic scripts
_JOINER = re.compile(rf"['{_JOINERS}]")
_LOOSE_JOINER = re.compile(rf"(?:^|(?<=\s))['{_JOINERS}]+|['{_JOINERS}]+(?=\s|$)")


def normalise_transcript(text: str, language: str = "") -> str:
    """Lower-case and keep letters, combining marks, numbers and word-internal apostrophes.

    Everything else (punctuation, symbols, hyphens) becomes a space, so that corpora with different
    punctuation habits share one spelling; invisible format characters vanish.

    >>> normalise_transcript("«L’Été», e\u0301tait-il   BEAU ?")
    "l'été était il beau"
    """
    text = one_line(text)
    if language in ("tr", "az"):  # str.lower() knows no dotless i
        text = text.translate(_DOTTED_I)
    text = unicodedata.normalize("NFC", text.lower()).translate(_APOSTROPHES)
    text = "".join(map(_kept, text))
    if _JOINER.search(text):
        text = _LOOSE_JOINER.sub(" ", text)
    return " ".join(text.split())


@cache
def _kept(character: str) -> str:
    """Return the character, a space in its place, or nothing."""
    category = unicodedata.category(character)
    if category[0] in "LMN" or character == "'" or character in _JOINERS:
        return character
    return "" if category == "Cf" else " "
