"""What is said in an Asterisk prompt, made from what the package's list says of it.

The rules are a table, `prompts_text.tsv`, with the reason of each; what they leave unclear is left
out, never guessed.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from espnet_otreg.corpora.record import one_line
from espnet_otreg.languages import find_language

TABLE = "prompts_text.tsv"
KINDS = ("silent", "prompt", "phrase", "word", "digit", "sign")
_EMPTY_BRACKETS = re.compile(r"[\[({<][^\w\[\](){}<>]*[\])}>]")  # "[@]" names the sign once more
_DIGIT = re.compile(r"(?<![\w.,])\d(?!\w|[.,]\d)")
_UNCLEAR = (  # what nobody can read aloud in one way, and what to call it
    (re.compile(r"[\[\](){}<>]"), "brackets: whether the words in them are spoken is not written"),
    (re.compile(r"\bwww\b"), "address: how it is read is not written"),
    (re.compile(r"\d"), "number: how it is read is not written"),
    (re.compile(r"[/\\@#*+=%&$€_|~^]"), "sign: how it is read is not written"),
)


class Rule(NamedTuple):
    """One line of the table."""

    language: str  # a code, or * for all
    kind: str  # one of KINDS
    old: str
    new: str
    why: str


class Transcript(NamedTuple):
    """What is said, or why it is not known."""

    text: str
    reason: str = ""  # empty where the text is known


def rules() -> list[Rule]:
    """Read the table that comes with the package."""
    content = files("espnet_otreg.corpora").joinpath(TABLE).read_text(encoding="utf-8")
    lines = [line for line in content.splitlines() if line and not line.startswith("#")]
    return [Rule(*line.split("\t")) for line in lines[1:]]


@cache
def rules_of(language: str) -> Mapping[str, Mapping[str, Rule]]:
    """Rules of a language by kind and by what they replace."""
    return {
        kind: {r.old: r for r in rules() if r.kind == kind and r.language in (language, "*")}
        for kind in KINDS
    }


def is_silent(key: str, language: str) -> bool:
    """Whether nobody speaks in this recording."""
    return key in rules_of(language)["silent"]


def transcript(key: str, listed: str | None, language: str) -> Transcript:
    """Turn the list's text of a prompt, None where it has none, into what is said."""
    given = rules_of(language)["prompt"].get(key)
    if given and not given.new:
        return Transcript("", f"unclear text: {given.why}")
    text = given.new if given else listed
    if text is None:
        return Transcript("", "no transcript: the package's list has no text for it")
    if not text.strip():
        return Transcript("", "no transcript: the package's list has an empty text for it")
    text = one_line(_EMPTY_BRACKETS.sub(" ", spelt_out(text, language)))
    for pattern, reason in _UNCLEAR:
        if pattern.search(text):
            return Transcript("", reason)
    foreign = foreign_word(text, language)
    return Transcript("", f"other script: {foreign}") if foreign else Transcript(text)


def spelt_out(text: str, language: str) -> str:
    """Apply what the table says of phrases, words, single digits and signs."""
    chosen = rules_of(language)
    for phrase in chosen["phrase"].values():
        text = text.replace(phrase.old, phrase.new)
    words = {rule.old.lower(): rule.new for rule in chosen["word"].values()}
    if words:
        text = _any_of(language).sub(lambda m: _like(m[0], words[m[0].lower()]), text)
    for sign in chosen["sign"].values():
        text = text.replace(sign.old, f" {sign.new} ")
    digits = chosen["digit"]
    return _DIGIT.sub(lambda m: digits[m[0]].new if m[0] in digits else m[0], text)


@cache
def _any_of(language: str) -> re.Pattern[str]:
    """Match any word that a rule of the language replaces."""
    words = sorted(rules_of(language)["word"], key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)


def _like(old: str, new: str) -> str:
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def foreign_word(text: str, language: str) -> str:
    """Return the first word with a letter of a script that the language is not written in."""
    known = find_language(language)
    if known is None:
        return ""
    for word in text.split():
        for letter in filter(str.isalpha, word):
            if unicodedata.name(letter, "?").split()[0] not in known.scripts:
                return word
    return ""
