"""Text normalisers for scoring; the name of the one used is written beside every number."""

import re
import unicodedata
from collections.abc import Callable
from itertools import dropwhile

from espnet_otreg.errors import UserError

Normaliser = Callable[[str, str], str]
"""Takes a text and its language code, returns the text as it is scored."""

# Typed for an apostrophe in practice. The accents must be caught before NFKC, which turns
# them into a space and a combining mark.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\uff07\u00b4\u0060", "'"))
_NOT_INSIDE_A_WORD = re.compile(r"(?<![^\s'])'|'(?![^\s'])")
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"(?:(?<=\s)|^)[^\w\s']+")


class _Characters(dict[int, str]):
    """What each character becomes; filled as characters are met, since Unicode is large."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if character == "'":
            kept = character
        elif category[0] in "PSZ" or character.isspace():
            kept = " "
        elif category in ("Cf", "Cc"):  # joiners, byte-order and direction marks: invisible
            kept = ""
        else:
            kept = character
        self[code] = kept
        return kept


_CHARACTERS = _Characters()


def none(text: str, language: str) -> str:
    """Leave the text as it is, but for runs of white space."""
    return " ".join(text.split())


def basic(text: str, language: str) -> str:
    """Forget case, punctuation and symbols in any script; keep accents and vowel signs.

    NFKC and case folding; punctuation and symbols become a space, except an apostrophe inside
    a word; combining marks stay, because Indic vowel signs and Thai tone marks are marks.
    """
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))
    text = unicodedata.normalize("NFKC", text.casefold())
    text = text.replace("i\u0307", "i")  # what case folding makes of the Turkish capital İ
    text = _NOT_INSIDE_A_WORD.sub(" ", text.translate(_CHARACTERS))
    return " ".join(_NEITHER_LETTER_NOR_DIGIT.sub(_drop_leading_marks, text).split())


def _drop_leading_marks(match: re.Match[str]) -> str:
    """Drop the marks that NFKC splits off a free-standing accent such as ¨."""
    return "".join(dropwhile(lambda c: unicodedata.category(c)[0] == "M", match.group()))


NORMALISERS: dict[str, Normaliser] = {"none": none, "basic": basic}


def get_normaliser(name: str) -> Normaliser:
    """Look a normaliser up by name."""
    if name not in NORMALISERS:
        raise UserError(f"unknown normaliser '{name}'; choose one of {', '.join(NORMALISERS)}")
    return NORMALISERS[name]
