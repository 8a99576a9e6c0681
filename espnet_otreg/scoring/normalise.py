"""Text normalisers for scoring; the name of the one used is written beside every number.

- none: the text as it is.
- basic: ours; case, punctuation and symbols go, in any script; accents and vowel signs stay.
- whisper_basic: Whisper's for all languages. It takes every mark for a symbol and puts a space in
  its place, so that words of Hindi fall apart and Thai loses vowels: error rates in such
  languages look other than they are.
- whisper_english: Whisper's for English, which also spells out contractions, writes numbers in
  digits and British words the American way. It knows English alone, so other languages get
  whisper_basic, which is the protocol of Whisper's paper; `applied` names what a language gets.
- open_asr: that of the Open ASR leaderboard's multilingual tables, so that a rate compares with
  theirs. English gets Whisper's for English; the leaderboard's copy of it has further lists, of
  names and acronyms, which no package holds. Other languages keep accents and vowel signs, and
  digits become words. Under it a compound that is parted otherwise is no error (scoring/edits.py).
"""

import importlib
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import dropwhile
from typing import Any

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


def open_asr(text: str, language: str) -> str:
    """Normalise as the Open ASR leaderboard does in a language.

    Numbers become words at the very end, as there: a hyphen that these bring along stays.
    """
    known = find_language(language)
    if known is not None and known.code == "en":
        return whisper_english(text, language)
    text = _whisper("basic", "BasicTextNormalizer", preserve_marks=True)(text)
    text = _package("regex").sub(r"[^\w\s]", "", text)
    text = re.sub(r"(\d)\s+(\d{3})\b", r"\1\2", text)  # a space or a point between thousands
    code = language if known is None else known.code
    return " ".join(re.sub(r"\d+", lambda found: _in_words(found.group(), code), text).split())


@cache
def _in_words(digits: str, language: str) -> str:
    try:
        return _package("num2words").num2words(int(digits), lang=language)
    except (NotImplementedError, OverflowError, ValueError, LookupError):
        return digits  # of a language that it does not count in, or too large


NORMALISERS: dict[str, Normaliser] = {
    "none": none,
    "basic": basic,
    "whisper_basic": whisper_basic,
    "whisper_english": whisper_english,
    "open_asr": open_asr,
}
KNOW_ENGLISH = ("whisper_english", "open_asr")  # must be told which utterances are in it
JOINS_COMPOUNDS = ("open_asr",)


def get_normaliser(name: str) -> Normaliser:
    """Look a normaliser up by name; one that needs a package makes sure of it."""
    if name not in NORMALISERS:
        raise UserError(f"unknown normaliser '{name}'; choose one of {', '.join(NORMALISERS)}")
    if name in ("whisper_basic", "whisper_english"):
        _whisper("basic", "BasicTextNormalizer")
    if name == "open_asr":
        _package("num2words")
        _whisper("basic", "BasicTextNormalizer", preserve_marks=True)
    return NORMALISERS[name]


@cache
def applied(name: str, language: str) -> str:
    """Name the normaliser that a language gets when `name` is asked for."""
    known = find_language(language)
    english = known is not None and known.code == "en"
    return "whisper_basic" if name == "whisper_english" and not english else name


@cache
def _whisper(module: str, kind: str, **options: bool) -> Callable[[str], str]:
    return getattr(_package(f"whisper_normalizer.{module}"), kind)(**options)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if name == "num2words":
            raise UserError(
                f"open_asr writes numbers by the package num2words ({error}): "
                "pip install 'espnet_otreg[open_asr]'"
            ) from error
        raise UserError(
            f"Whisper's normalisers come from the package whisper-normalizer ({error}): "
            "pip install 'espnet_otreg[whisper]'"
        ) from error
