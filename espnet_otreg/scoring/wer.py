"""Word and character errors per utterance, summed per language and in total.

A corpus rate is the sum of errors over the sum of reference units, never a mean of rates.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from espnet_otreg.errors import UserError
from espnet_otreg.languages import has_spaces
from espnet_otreg.scoring.edits import Counts, count_edits, count_edits_of_compounds
from espnet_otreg.scoring.failures import MODES, failure_modes
from espnet_otreg.scoring.normalise import JOINS_COMPOUNDS, KNOW_ENGLISH, get_normaliser

TOTAL = "total"
UNKNOWN_LANGUAGE = "und"
METRICS = AUTO, CHARACTERS = "auto", "cer"  # auto: words, but characters where nothing else suits


@cache
def scored_in_characters(language: str) -> bool:
    """Tell whether CER is the figure to read; codes such as `zh-CN` and `cmn_hans_cn` count."""
    return not has_spaces(language)


class Utterance(NamedTuple):
    """One scored utterance; the texts are normalised."""

    name: str
    speaker: str
    language: str
    words: Counts
    characters: Counts
    reference: str
    hypothesis: str

    def primary(self, metric: str = AUTO) -> Counts:
        """Counts in the unit that suits the language, or in characters if asked for."""
        in_characters = metric == CHARACTERS or scored_in_characters(self.language)
        return self.characters if in_characters else self.words


Judged = tuple[Utterance, tuple[str, ...]]  # with its failure modes


class Summary(NamedTuple):
    """One language of a test set, or all of it."""

    metric: str  # WER, CER, or mixed: words, but characters where a language has no spaces
    primary: Counts  # in the unit that the metric names
    words: Counts
    characters: Counts
    utterances: int
    speakers: int
    wrong_utterances: int
    empty_hypotheses: int  # of utterances whose reference is not empty
    empty_references: int  # every hypothesis word there is an insertion
    failures: dict[str, int]  # utterances that show it, by the modes of scoring/failures.py

    @property
    def sentence_error_rate(self) -> float:
        """Share of utterances with any error."""
        return self.wrong_utterances / self.utterances

    @property
    def empty_share(self) -> float:
        """Share of utterances with an empty hypothesis where words were spoken."""
        return self.empty_hypotheses / self.utterances


def count_errors(reference: str, hypothesis: str, *, compounds: bool = False) -> Counts:
    """Align two normalised texts by words; with `compounds`, parting one otherwise is no error."""
    count = count_edits_of_compounds if compounds else count_edits
    return count(reference.split(), hypothesis.split())


def count_character_errors(reference: str, hypothesis: str, language: str) -> Counts:
    """Align two normalised texts by characters; spaces count where the language has them."""
    if scored_in_characters(language):
        reference, hypothesis = reference.replace(" ", ""), hypothesis.replace(" ", "")
    return count_edits(reference, hypothesis)


def score(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    *,
    normaliser: str,
    speakers: Mapping[str, str] | None = None,
    languages: Mapping[str, str] | None = None,
) -> list[Utterance]:
    """Score every utterance; the keys of all tables are utterance names and must agree.

    Without `speakers` each utterance is its own speaker.
    """
    _check_same_names("hypotheses", references, hypotheses)
    for what, table in (("utt2spk", speakers), ("utt2lang", languages)):
        if table is not None:
            _check_same_names(what, references, table, extra_allowed=True)
            _check_one_word(what, {name: table[name] for name in references})
    if normaliser in KNOW_ENGLISH and languages is None:
        raise UserError(
            f"{normaliser} must know which utterances are English: give utt2lang or --languages"
        )
    normalise = get_normaliser(normaliser)
    scored = []
    for name in references:
        language = languages[name] if languages is not None else UNKNOWN_LANGUAGE
        reference = normalise(references[name], language)
        hypothesis = normalise(hypotheses[name], language)
        scored.append(
            Utterance(
                name,
                speakers[name] if speakers is not None else name,
                language,
                count_errors(reference, hypothesis, compounds=normaliser in JOINS_COMPOUNDS),
                count_character_errors(reference, hypothesis, language),
                reference,
                hypothesis,
            )
        )
    if not any(utterance.primary().reference for utterance in scored):
        raise UserError(
            f"none of the {len(scored)} references has a word left after the normaliser "
            f"'{normaliser}', so there is no error rate; check the reference text"
        )
    return scored


def summarise(utterances: Sequence[Utterance], metric: str = AUTO) -> dict[str, Summary]:
    """Sum up each language, in alphabetical order, and then everything as `total`."""
    names = sorted({utterance.language for utterance in utterances})
    if TOTAL in names:
        raise UserError(f"a language may not be called '{TOTAL}'; rename it in utt2lang")
    judged = [(u, failure_modes(u.reference, u.hypothesis, u.language)) for u in utterances]
    parts: dict[str, list[Judged]] = {name: [] for name in names}
    for utterance, modes in judged:
        parts[utterance.language].append((utterance, modes))
    return {name: _summary(part, metric) for name, part in {**parts, TOTAL: judged}.items()}


def metric_of(languages: Iterable[str], metric: str = AUTO) -> str:
    """Name the figure that suits these languages together: WER, CER or mixed."""
    units = {metric == CHARACTERS or scored_in_characters(language) for language in languages}
    return "mixed" if len(units) == 2 else "CER" if units == {True} else "WER"


def _summary(judged: Sequence[Judged], metric: str) -> Summary:
    utterances = [utterance for utterance, _ in judged]
    found = Counter(mode for _, modes in judged for mode in modes)
    return Summary(
        metric=metric_of((u.language for u in utterances), metric),
        primary=_sum(u.primary(metric) for u in utterances),
        words=_sum(u.words for u in utterances),
        characters=_sum(u.characters for u in utterances),
        utterances=len(utterances),
        speakers=len({u.speaker for u in utterances}),
        wrong_utterances=sum(u.primary(metric).errors > 0 for u in utterances),
        empty_hypotheses=sum(bool(u.reference) and not u.hypothesis for u in utterances),
        empty_references=sum(not u.reference for u in utterances),
        failures={mode: found[mode] for mode in MODES},
    )


def _sum(counts: Iterable[Counts]) -> Counts:
    return Counts(*np.array(list(counts), dtype=np.int64).sum(axis=0).tolist())


def _check_one_word(what: str, table: Mapping[str, str]) -> None:
    wrong = [name for name, value in table.items() if len(value.split()) != 1]
    if wrong:
        raise UserError(
            f"{what} should give each utterance one word without spaces, but for {wrong[0]} it is "
            f"{table[wrong[0]]!r} ({len(wrong)} such lines); mend the data directory"
        )


def _check_same_names(
    what: str, expected: Mapping[str, str], given: Mapping[str, str], extra_allowed: bool = False
) -> None:
    missing = [name for name in expected if name not in given]
    extra = [] if extra_allowed else [name for name in given if name not in expected]
    if not missing and not extra:
        return
    parts = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for names, kind in ((missing, "missing"), (extra, "not in the reference"))
        if names
    ]
    raise UserError(
        f"{what} and the {len(expected)} reference utterances do not match: {'; '.join(parts)}. "
        "Make them again from the same data directory"
    )
