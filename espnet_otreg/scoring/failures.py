"""Failure modes: hypotheses that are wrong in a way of their own, beyond single wrong words.

Each is judged on one utterance, from normalised texts, by thresholds that are facts of this file:

- empty: nothing was written though something was said.
- repetition: a loop. In a row come four turns of one word, or three of two to eight words, beyond
  what the reference itself repeats; or inside a word, and in a whole text without spaces, six turns
  of one character, four of two or three, three of four to twenty. Turns without a letter, such as
  the zeros of a number, do not count.
- wrong script: more than half of the letters are in a script that neither the language is written
  in nor the reference holds. A language that is not in `espnet_otreg.languages` is judged by the
  reference alone.
- runaway length: more than twice as long as the reference and then five words more; in languages
  without spaces ten characters more.
- unrelated: something else was written, however fluently: of a reference of three words or more not
  one is there. In languages without spaces it is of six characters or more, and no two that follow
  each other are there. Models that answer without having heard do this; they fail in no other way.

One hypothesis can show several modes. One that equals its reference shows none.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby

from espnet_otreg.languages import LANGUAGES, find_language, has_spaces

MODES = EMPTY, REPETITION, WRONG_SCRIPT, RUNAWAY, UNRELATED = (
    "empty",
    "repetition",
    "wrong script",
    "runaway length",
    "unrelated",
)

LONGEST_WORD_LOOP, LONGEST_CHARACTER_LOOP = 8, 20  # units in one turn
RUNAWAY_RATIO, RUNAWAY_WORDS, RUNAWAY_CHARACTERS = 2, 5, 10

UNRELATED_WORDS, UNRELATED_CHARACTERS = 3, 6  # of the reference: fewer are missed by chance
WARN_OF_UNRELATED = 0.05  # share of a test set

_SCRIPTS = frozenset().union(*(language.scripts for language in LANGUAGES.values()))


def failure_modes(reference: str, hypothesis: str, language: str) -> tuple[str, ...]:
    """Name the failure modes of a hypothesis, in the order of MODES."""
    if reference == hypothesis:
        return ()
    if not hypothesis.strip():
        return (EMPTY,) if reference.strip() else ()
    spaces = has_spaces(language)
    if not spaces:
        reference, hypothesis = reference.replace(" ", ""), hypothesis.replace(" ", "")
    found = (
        (REPETITION, _repeats(reference, hypothesis)),
        (WRONG_SCRIPT, _in_wrong_script(reference, hypothesis, language)),
        (RUNAWAY, _runs_away(reference, hypothesis, spaces)),
        (UNRELATED, _is_unrelated(reference, hypothesis, spaces)),
    )
    return tuple(mode for mode, present in found if present)


def warning_of_unrelated(who: str, share: float) -> str | None:
    """Say that a system answers past the audio, where more than a few of its answers do."""
    if share <= WARN_OF_UNRELATED:
        return None
    return (
        f"{who}: {100 * share:.1f} % of the answers are fluent and unrelated to the audio: they "
        "have no word in common with what was said. So answers a model that does not listen: look "
        "whether its encoder's output reaches the decoder, before its error rate."
    )


def _is_unrelated(reference: str, hypothesis: str, spaces: bool) -> bool:
    if not any(map(str.isalpha, hypothesis)):  # digits, where the reference has words
        return False
    if spaces:
        said = reference.split()
        return len(said) >= UNRELATED_WORDS and set(said).isdisjoint(hypothesis.split())
    pairs = {reference[i : i + 2] for i in range(len(reference) - 1)}
    return len(reference) >= UNRELATED_CHARACTERS and not any(pair in hypothesis for pair in pairs)


def _runs_away(reference: str, hypothesis: str, spaces: bool) -> bool:
    if spaces:
        said, heard, more = len(reference.split()), len(hypothesis.split()), RUNAWAY_WORDS
    else:
        said, heard, more = len(reference), len(hypothesis), RUNAWAY_CHARACTERS
    return heard > RUNAWAY_RATIO * said + more


def _in_wrong_script(reference: str, hypothesis: str, language: str) -> bool:
    known = find_language(language)
    expected = known.scripts if known is not None else frozenset()
    if hypothesis.isascii() and "LATIN" in expected:
        return False
    allowed = expected | _scripts(reference).keys()
    if not allowed:  # nothing is known of the language nor of what was said
        return False
    scripts = _scripts(hypothesis)
    wrong = sum(n for script, n in scripts.items() if script not in allowed)
    return 2 * wrong > scripts.total()


def _scripts(text: str) -> Counter[str]:
    """Count the letters of each script."""
    counts: Counter[str] = Counter()
    for character, n in Counter(text).items():
        script = _script(character)
        if script:
            counts[script] += n
    return counts


@cache
def _script(character: str) -> str:
    """Name a letter's script, or nothing for what is no letter or of no script known here."""
    if not character.isalpha():
        return ""
    plain = unicodedata.normalize("NFKC", character)[0]  # full width and the like
    return next((word for word in unicodedata.name(plain, "").split() if word in _SCRIPTS), "")


def _repeats(reference: str, hypothesis: str) -> bool:
    words = hypothesis.split()
    if len(words) > 3 and Counter(words).most_common(1)[0][1] > 2:  # else no loop is possible
        said = _longest_runs(reference.split(), LONGEST_WORD_LOOP)
        for unit, turns in _loops(words, LONGEST_WORD_LOOP):
            beyond = turns - max(1, said.get(_turned(unit), 0))
            if beyond >= (3 if len(unit) == 1 else 2) and _has_letter(unit):
                return True
    return any(_word_repeats(word, reference) for word in words if len(word) > 5)


def _word_repeats(word: str, reference: str) -> bool:
    """Look for loops of characters inside a word or a text without spaces."""
    found = _character_loops(word)
    if not found:
        return False
    said = _longest_runs(reference, LONGEST_CHARACTER_LOOP)
    return any(
        turns - max(1, said.get(_turned(unit), 0)) >= _character_turns(unit) - 1
        for unit, turns in found
    )


@lru_cache(maxsize=100_000)  # words come again and again
def _character_loops(word: str) -> tuple[tuple[tuple[str, ...], int], ...]:
    """List the loops that are long enough to be a failure."""
    return tuple(
        (unit, turns)
        for unit, turns in _loops(word, LONGEST_CHARACTER_LOOP)
        if turns >= _character_turns(unit) and _has_letter(unit)
    )


def _character_turns(unit: Sequence[str]) -> int:
    return 6 if len(unit) == 1 else 4 if len(unit) < 4 else 3


def _loops(units: Sequence[str], longest: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield what comes at least twice in a row, and how many whole turns of it there are."""
    for period in range(1, min(longest, len(units) // 2) + 1):
        same = [a == b for a, b in zip(units, units[period:], strict=False)]
        start = 0
        for equal, run in groupby(same):
            length = sum(1 for _ in run)
            if equal and length >= period:
                unit = tuple(units[start : start + period])
                if period == 1 or len(set(unit)) > 1:  # else a loop of one, met before
                    yield unit, (length + period) // period
            start += length


def _longest_runs(units: Sequence[str], longest: int) -> dict[tuple[str, ...], int]:
    """Map each loop, wherever in its turn it starts, to its most turns in a row."""
    runs: dict[tuple[str, ...], int] = {}
    for unit, turns in _loops(units, longest):
        key = _turned(unit)
        runs[key] = max(turns, runs.get(key, 0))
    return runs


def _turned(unit: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same loop for every place that it could be said to start at."""
    return min(unit[i:] + unit[:i] for i in range(len(unit)))


def _has_letter(unit: Sequence[str]) -> bool:
    return any(character.isalpha() for part in unit for character in part)
