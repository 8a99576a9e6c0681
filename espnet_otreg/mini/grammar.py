"""Parallel sentences: a shape and the concepts in its slots, said in every language.

>>> sentence = next(draw_split("test", random.Random(1)))
>>> sorted(sentence.texts) == sorted(lexicon.LANGUAGES)
True
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from espnet_otreg.mini import lexicon
from espnet_otreg.mini.shapes import SHAPES

SPLITS = ("train", "dev", "test")
LONGEST = 10  # words, in any language
_DEV_SHARE, _TEST_SHARE = 0.1, 0.1

Row = tuple[tuple[str, ...], ...]  # one concept: per language, the forms in its cell


def _table(text: str) -> tuple[Row, ...]:
    return tuple(
        tuple(tuple(cell.split()) for cell in line.split("|")) for line in text.strip().splitlines()
    )


# slot letter of a shape -> the table it is filled from
SLOTS: dict[str, tuple[Row, ...]] = {
    "t": _table(lexicon.THINGS),
    "p": _table(lexicon.PEOPLE),
    "q": _table(lexicon.PEOPLE),
    "j": _table(lexicon.ADJECTIVES),
    "l": _table(lexicon.PLACES),
    "v": _table(lexicon.ACTIONS),
    "g": _table(lexicon.GIVING),
    "i": _table(lexicon.ACTIVITIES),
    "n": _table(lexicon.NUMBERS),
    "y": _table(lexicon.PAST_TIMES),
    "d": _table(lexicon.PRESENT_TIMES),
    "u": _table(lexicon.FUTURE_TIMES),
    "f": _table(lexicon.OFTEN),
    "m": _table(lexicon.MODALS),
}

_ARTICLES = {
    ("es", "the", "m"): "el", ("es", "the", "f"): "la",
    ("es", "a", "m"): "un", ("es", "a", "f"): "una",
    ("es", "this", "m"): "este", ("es", "this", "f"): "esta",
    ("es", "my", "m"): "mi", ("es", "my", "f"): "mi",
    ("fr", "the", "m"): "le", ("fr", "the", "f"): "la",
    ("fr", "a", "m"): "un", ("fr", "a", "f"): "une",
    ("fr", "this", "m"): "ce", ("fr", "this", "f"): "cette",
    ("fr", "my", "m"): "mon", ("fr", "my", "f"): "ma",
}  # fmt: skip

_NAMES = "|".join(row[0][1] for row in SLOTS["p"] if row[0][0] == "name")
_CAPITAL = {"en": f"{_NAMES}|monday|saturday|i", "es": _NAMES, "fr": _NAMES}


@dataclass(frozen=True)
class Sentence:
    """One meaning: a shape, and the row chosen for each of its slots."""

    shape: int
    rows: tuple[tuple[str, int], ...]  # (slot letter, row number)

    @cached_property
    def texts(self) -> dict[str, str]:
        """The sentence in each language, lower case, without punctuation."""
        rows = {slot: SLOTS[slot][row] for slot, row in self.rows}
        return {
            lang: _smooth(lang, _fill(SHAPES[self.shape][column], lang, column, rows))
            for column, lang in enumerate(lexicon.LANGUAGES)
        }

    @property
    def sensible(self) -> bool:
        """Not "laura dances with laura", and at most `LONGEST` words in any language."""
        chosen = dict(self.rows)
        if "p" in chosen and chosen["p"] == chosen.get("q"):
            return False
        return all(len(text.split()) <= LONGEST for text in self.texts.values())

    @property
    def question(self) -> bool:
        """Whether it is written with a question mark."""
        return self.texts["en"].startswith(("where", "why"))

    @property
    def split(self) -> str:
        """The only split this sentence may be used in, whatever the corpus, language and seed."""
        digest = hashlib.sha256(repr((self.shape, self.rows)).encode()).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64
        if position < _TEST_SHARE:
            return "test"
        return "dev" if position < _TEST_SHARE + _DEV_SHARE else "train"


def draw_split(split: str, rng: random.Random) -> Iterator[Sentence]:
    """Endless different sentences of one split, in which all rows of a table are as frequent."""
    seen = set()
    decks: dict[str, list[int]] = {}

    def deal(deck: str, size: int) -> int:
        cards = decks.setdefault(deck, [])
        if not cards:
            cards.extend(rng.sample(range(size), size))
        return cards.pop()

    while True:
        shape = deal("shape", len(SHAPES))
        rows = tuple((slot, deal(slot, len(SLOTS[slot]))) for slot in _slots(SHAPES[shape][0]))
        sentence = Sentence(shape, rows)
        if sentence.split == split and sentence not in seen and sentence.sensible:
            seen.add(sentence)
            yield sentence


def vocabulary(lang: str) -> set[str]:
    """Every word form that the shapes and tables of a language can produce."""
    rng = random.Random("vocabulary")
    words: set[str] = set()
    for shape in range(len(SHAPES)):
        slots = _slots(SHAPES[shape][0])
        for turn in range(max(len(SLOTS[slot]) for slot in slots) * 8):
            rows = tuple(
                (slot, (turn if slot == "t" else rng.randrange(10**6)) % len(SLOTS[slot]))
                for slot in slots
            )
            words.update(Sentence(shape, rows).texts[lang].split())
    return words


def written(sentence: Sentence, lang: str) -> str:
    """As a text corpus has it: capitals, and a full stop or a question mark."""
    text = re.sub(rf"\b({_CAPITAL[lang]})\b", lambda word: word[1].title(), sentence.texts[lang])
    mark = "?" if sentence.question else "."
    if lang == "fr" and mark == "?":
        mark = " ?"
    opening = "¿" if lang == "es" and sentence.question else ""
    return opening + text[0].upper() + text[1:] + mark


def _slots(shape: str) -> list[str]:
    """The slot letters of a shape: the first of each placeholder, and those that agree with it."""
    return sorted(set(re.findall(r"(?:\{|@|\.(?=j\}))([a-z])(?=[}.@])", shape)))


def _fill(shape: str, lang: str, column: int, rows: dict[str, Row]) -> str:
    def replace(match: re.Match[str]) -> str:
        slot, *rest = re.split(r"[.@]", match[1])
        cell = rows[slot][column]
        adjective = rows["j"][column] if rest[-1:] == ["j"] else None
        if slot == "j":
            return _adjective(lang, cell, rest[0] if rest else "", rows, column)
        return _FORMS[slot](lang, cell, rest[0] if rest else "", adjective, rows[slot][0])

    return re.sub(r"\{([^}]+)\}", replace, shape)


def _agree(lang: str, cell: tuple[str, ...], gender: str, plural: bool) -> str:
    """An adjective in the gender and number of its noun."""
    forms = [form for form in cell if form != "*"]
    if lang == "en":
        return forms[0]
    word = forms[gender == "f"]
    if not plural or (lang == "fr" and word[-1] in "sx"):
        return word
    return word + ("es" if lang == "es" and word[-1] not in "aeo" else "s")


def _adjective(
    lang: str, cell: tuple[str, ...], form: str, rows: dict[str, Row], column: int
) -> str:
    if form == "is":  # the copula that goes with the adjective
        return "está" if "*" in cell else "es"
    thing = rows["t"][column]
    return _agree(lang, cell, thing[2] if lang != "en" else "", plural=False)


def _thing(
    lang: str, cell: tuple[str, ...], form: str, adjective: tuple[str, ...] | None, _: object
) -> str:
    plural = form == "plural"
    noun = cell[plural]
    gender = cell[2] if lang != "en" else ""
    described = _agree(lang, adjective, gender, plural) if adjective else ""
    words = [described, noun] if lang == "en" else [noun, described]
    if not plural:
        words.insert(0, form if lang == "en" else _ARTICLES[lang, form, gender])
    return " ".join(word for word in words if word)


def _person(
    lang: str, cell: tuple[str, ...], form: str, _: object, english: tuple[str, ...]
) -> str:
    kind = english[0]
    noun = cell[1] if lang == "en" else cell[0]
    if kind == "name":
        return noun
    article = "the" if kind == "noun" else "my"
    return f"{article if lang == 'en' else _ARTICLES[lang, article, cell[1]]} {noun}"


def _place(lang: str, cell: tuple[str, ...], form: str, *_: object) -> str:
    if lang == "es":
        preposition, noun = "en", f"{_ARTICLES['es', 'the', cell[1]]} {cell[0]}"
    elif lang == "fr":
        preposition, noun = cell[0], f"{_ARTICLES['fr', 'the', cell[2]]} {cell[1]}"
    else:
        preposition, noun = cell[0], f"the {cell[1]}"
    return f"{preposition} {noun}" if form == "at" else noun


def _action(lang: str, cell: tuple[str, ...], form: str, *_: object) -> str:
    word = cell[("infinitive", "now", "past").index(form)]
    return f"a {word}" if lang == "fr" and form == "past" else word


def _activity(lang: str, cell: tuple[str, ...], form: str, *_: object) -> str:
    word = cell[("now", "past", "they").index(form)]
    return f"a {word}" if lang == "fr" and form == "past" else word


def _phrase(lang: str, cell: tuple[str, ...], *_: object) -> str:
    return " ".join(cell)


_FORMS: dict[str, Callable[..., str]] = {
    "t": _thing, "p": _person, "q": _person, "l": _place, "v": _action, "g": _action,
    "i": _activity, "n": _phrase, "y": _phrase, "d": _phrase, "u": _phrase, "f": _phrase,
    "m": _phrase,
}  # fmt: skip


def _smooth(lang: str, text: str) -> str:
    """What neighbouring words do to each other: a/an, al/del, l'/d'/qu', au/du."""
    if lang == "en":
        return re.sub(r"\ba (?=[aeiou])(?!use)", "an ", text)
    if lang == "es":
        return re.sub(r"\b(a|de) el\b", lambda m: {"a": "al", "de": "del"}[m[1]], text)
    text = re.sub(r"\bce (?=[aeiouhéèêœ])(?!huit)", "cet ", text)
    text = re.sub(r"\b(l|n|qu|d)(?:e|a) (?=[aeiouhéèêœ])(?!huit)", r"\1'", text)
    text = re.sub(r"(^|\s)à le\b(?!')", r"\1au", text)
    return re.sub(r"\bde le\b(?!')", "du", text)
