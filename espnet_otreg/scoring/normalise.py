"""Text normalisers for scoring; the name of the one used is written beside every number.

- none: the text as it is.
- basic: ours; case, punctuation and symbols go, in any script; accents and vowel signs stay.
- whisper_basic: Whisper's for all languages. It takes every mark for a symbol and puts a space in
  its place, so that words of Hindi fall apart and Thai loses vowels: error rates in such
  languages look other than they are.
- whisper_english: Whisper's for English, which also spells out contractions, writes numbers in
  digits and British words the American way. It knows English alone, so other languages get
  whisper_basic, which is the protocol of Whisper's paper; `applied` names what a language gets.
"""

import importlib
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import dropwhile

from espnet_otreg.errors import UserError
from espnet_otreg.languages import find_language

Normaliser = Callable[[str, str], str]
"""Takes a text and its language code, returns the text as it is scored."""

# Typed for an apostrophe in practice. The accents must be caught before NFKC, which turns
# them into a space and a combining mark.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\uff07\u00b4\u0060", "'"))
# Case folding knows nothing of Turkish and Azerbaijani.
_DOTTED_I = str.maketrans({"I": "ı", "İ": "i"})
# NFKC takes the Thai and Lao vowel AM apart; a tone mark is typed on either side of its circle.
_AM = {
    "\u0e4d": (re.compile("([\u0e48-\u0e4b]*)\u0e4d([\u0e48-\u0e4b]*)\u0e32"), "\u0e33"),
    "\u0ecd": (re.compile("([\u0ec8-\u0ecb]*)\u0ecd([\u0ec8-\u0ecb]*)\u0eb2"), "\u0eb3"),
}
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
        elif category in ("Cf", "Cc") or character == "\u0640":
            kept = ""  # joiners, byte-order and direction marks, and what only widens Arabic words
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

    >>> basic("IŞIK!", "tr"), basic("It’s 5 o’clock.", "en"), basic("नमस्ते।", "hi")
    ('ışık', "it's 5 o'clock", 'नमस्ते')
    """
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))
    if _has_dotless_i(language):
        text = text.translate(_DOTTED_I)
    text = unicodedata.normalize("NFKC", text.casefold())
    text = text.replace("i\u0307", "i")  # what case folding makes of the Turkish capital İ
    for circle, (parts, vowel) in _AM.items():
        if circle in text:
            text = parts.sub(rf"\1\2{vowel}", text)
    text = _NOT_INSIDE_A_WORD.sub(" ", text.translate(_CHARACTERS))
    return " ".join(_NEITHER_LETTER_NOR_DIGIT.sub(_drop_leading_marks, text).split())


@cache
def _has_dotless_i(language: str) -> bool:
    known = find_language(language)
    return known is not None and known.code in ("tr", "az")


def _drop_leading_marks(match: re.Match[str]) -> str:
    """Drop the marks that NFKC splits off a free-standing accent such as ¨."""
    return "".join(dropwhile(lambda c: unicodedata.category(c)[0] == "M", match.group()))


def whisper_basic(text: str, language: str) -> str:
    """Normalise as Whisper does in any language."""
    return " ".join(_whisper("basic", "BasicTextNormalizer")(text).split())


def whisper_english(text: str, language: str) -> str:
    """Normalise as Whisper does in English; other languages get `whisper_basic`."""
    if applied("whisper_english", language) == "whisper_basic":
        return whisper_basic(text, language)
    return " ".join(_whisper("english", "EnglishTextNormalizer")(text).split())


NORMALISERS: dict[str, Normaliser] = {
    "none": none,
    "basic": basic,
    "whisper_basic": whisper_basic,
    "whisper_english": whisper_english,
}


def get_normaliser(name: str) -> Normaliser:
    """Look a normaliser up by name; one that needs a package makes sure of it."""
    if name not in NORMALISERS:
        raise UserError(f"unknown normaliser '{name}'; choose one of {', '.join(NORMALISERS)}")
    if name.startswith("whisper"):
        _whisper("basic", "BasicTextNormalizer")
    return NORMALISERS[name]


@cache
def applied(name: str, language: str) -> str:
    """Name the normaliser that a language gets when `name` is asked for."""
    known = find_language(language)
    english = known is not None and known.code == "en"
    return "whisper_basic" if name == "whisper_english" and not english else name


@cache
def _whisper(module: str, kind: str) -> Callable[[str], str]:
    try:
        loaded = importlib.import_module(f"whisper_normalizer.{module}")
    except ImportError as error:
        raise UserError(
            f"Whisper's normalisers come from the package whisper-normalizer ({error}): "
            "pip install 'espnet_otreg[whisper]'"
        ) from error
    return getattr(loaded, kind)()
