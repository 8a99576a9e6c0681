"""Normalising transcripts before training (a scorer has a normaliser of its own)."""

import re
import unicodedata
from functools import cache

from espnet_otreg.corpora.record import one_line

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
