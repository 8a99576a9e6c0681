"""The parts of one test set: every language, all of it, and the mean over languages."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from espnet_otreg.scoring.comparison import Part, Result
from espnet_otreg.scoring.components import Array
from espnet_otreg.scoring.failures import MODES
from espnet_otreg.scoring.hierarchy import Apart, Words, components, estimate, judge, models_of
from espnet_otreg.scoring.levels import NAMES, Cell, Labels, Pairing, pair
from espnet_otreg.scoring.macro import over_languages, resample_macro
from espnet_otreg.scoring.score_file import Scored
from espnet_otreg.scoring.significance import (
    Interval,
    Resampled,
    interval,
    resample_speakers,
)
from espnet_otreg.scoring.wer import TOTAL, Counts, Utterance, metric_of


class Replicates(NamedTuple):
    """How the models of each system pair with each other, and with the baseline's."""

    alone: tuple[Pairing, ...]
    paired: tuple[Pairing, ...]  # the first is the baseline with itself

    @classmethod
    def of(cls, names: Sequence[str], labels: Sequence[Sequence[Labels]]) -> "Replicates":
        """Pair all models by their labels."""
        alone = tuple(pair(rows, rows) for rows in labels)
        named = zip(names, labels, strict=True)
        return cls(alone, tuple(pair(rows, labels[0], (name, names[0])) for name, rows in named))


class Judged(NamedTuple):
    """What is said of one system on one part."""

    interval: Interval
    apart: Apart | None  # from the baseline; None for the baseline itself


class Parts:
    """The parts of one test set."""

    def __init__(
        self,
        scores: Sequence[Sequence[Scored]],
        metric: str,
        replicates: Replicates,
        samples: int,
        seed: int,
    ) -> None:
        self.scores = scores  # by system, by trained model
        self.metric = metric
        self.replicates = replicates
        self.draws = {"samples": samples, "seed": seed}
        self.utterances: list[Utterance] = scores[0][0].utterances
        self.languages = np.array([u.language for u in self.utterances])
        self.speakers = np.array([u.speaker for u in self.utterances])
        self.speaker = np.unique(self.speakers, return_inverse=True)[1]
        self.references = np.array([u.primary(metric).reference for u in self.utterances])
        self.errors: list[Array] = [  # by system: (models, utterances)
            np.array([[u.primary(metric).errors for u in s.utterances] for s in group], float)
            for group in scores
        ]
        # Of each system three rows: its mean over models, and both sides of its pairs with the
        # baseline's, which are averaged over the same cells.
        self.means = np.stack([row for place in range(len(scores)) for row in self._means(place)])

    def _means(self, place: int) -> Iterable[Array]:
        cells = self.replicates.paired[place].cells
        yield self.errors[place].mean(axis=0)
        yield averaged(self.errors[place], [cell.ours for cell in cells]).mean(axis=0)
        yield averaged(self.errors[0], [cell.theirs for cell in cells]).mean(axis=0)

    def all(self) -> dict[str, Part]:
        """Every language, and the total."""
        return {language: self._part(language) for language in self.scores[0][0].summaries}

    def macro(self) -> Part | None:
        """The means over languages; nothing where they would repeat the single language."""
        summaries = self.scores[0][0].summaries
        languages = [n for n, part in summaries.items() if n != TOTAL and part.primary.reference]
        if len(languages) < 2:
            return None
        drawn = resample_macro(
            self.means, self.references, list(self.speakers), list(self.languages), **self.draws
        )
        groups = tuple(np.flatnonzero(self.languages == name) for name in languages)
        judged = [
            self._judged(
                place,
                groups,
                over_languages(drawn, [3 * place]),
                over_languages(drawn, [3 * place + 1, 3 * place + 2]),
            )
            for place in range(len(self.scores))
        ]
        return self._sized(TOTAL, languages, len(set(self.speakers)), judged)

    def _part(self, language: str) -> Part:
        chosen = np.flatnonzero(
            np.ones(len(self.languages), bool) if language == TOTAL else self.languages == language
        )
        drawn = resample_speakers(
            self.means[:, chosen],
            self.references[chosen],
            list(self.speakers[chosen]),
            **self.draws,
        )
        judged = [
            self._judged(place, (chosen,), _of(drawn, 3 * place), _of(drawn, 3 * place + 1, 2))
            for place in range(len(self.scores))
        ]
        return self._sized(language, [language], drawn.speakers, judged)

    def _judged(
        self, place: int, groups: tuple[np.ndarray, ...], alone: Resampled, both: Resampled
    ) -> Judged:
        """Join what speakers and what models make uncertain."""
        words = Words(self.references, self.speaker, groups)
        cells = self.replicates.alone[place].cells
        figures = words.figures(averaged(self.errors[place], [cell.ours for cell in cells]))
        models = models_of(estimate(figures, _labels(cells)))
        rate = interval(float(alone.rates[0]), alone.draws[:, 0], alone.spread, models=models)
        if rate.low < 0:  # false of none
            rate = rate._replace(low=0.0)
        if place == 0:
            return Judged(rate, None)
        paired = self.replicates.paired[place]
        ours = averaged(self.errors[place], [cell.ours for cell in paired.cells])
        theirs = averaged(self.errors[0], [cell.theirs for cell in paired.cells])
        apart = judge(ours, theirs, _labels(paired.cells), words, both)
        held = tuple(NAMES[level] for level in paired.held)
        return Judged(rate, apart._replace(difference=apart.difference._replace(held=held)))

    def _sized(
        self, language: str, languages: Sequence[str], speakers: int, judged: Sequence[Judged]
    ) -> Part:
        summary = self.scores[0][0].summaries[language]
        every = [name for name in self.scores[0][0].summaries if name != TOTAL]
        return Part(
            metric=metric_of(every if language == TOTAL else [language], self.metric),
            utterances=summary.utterances,
            speakers=speakers,
            words=summary.words.reference,
            empty_references=summary.empty_references,
            results=tuple(
                self._result(languages, place, found, speakers)
                for place, found in enumerate(judged)
            ),
        )

    def _result(
        self, languages: Sequence[str], place: int, judged: Judged, speakers: int
    ) -> Result:
        """Average over the trained models, and over languages where several are given."""
        models = [[scored.summaries[name] for name in languages] for scored in self.scores[place]]
        rates = [_mean(_rate(summary.primary) for summary in one) for one in models]
        flat = [summary for one in models for summary in one]
        paired = self.replicates.paired[place]
        alike = len(paired.cells) == len(rates) == len(self.scores[0])
        apart = judged.apart
        found = apart and apart.variances
        return Result(
            seed_rates=tuple(rates),
            deviation=float(np.std(rates, ddof=1)) if len(rates) > 1 else None,
            interval=judged.interval,
            substitutions=_mean(_share(s.primary, "substitutions") for s in flat),
            deletions=_mean(_share(s.primary, "deletions") for s in flat),
            insertions=_mean(_share(s.primary, "insertions") for s in flat),
            cer=_mean(_rate(s.characters) for s in flat),
            sentence_error_rate=_mean(s.sentence_error_rate for s in flat),
            empty_share=_mean(s.empty_share for s in flat),
            failures={mode: _mean(s.failures[mode] / s.utterances for s in flat) for mode in MODES},
            difference=apart and apart.difference,
            seed_differences=tuple(map(float, apart.figures.values)) if apart and alike else (),
            covers=paired.covers,
            held=paired.held,
            components=components(found, _labels(paired.cells), apart.speakers, speakers)
            if apart
            else (),
            freedom=found and found.freedom,
        )


def averaged(counts: Array, groups: Sequence[Sequence[int]]) -> Array:
    """Average the models (models, utterances) of each group."""
    return np.stack([counts[list(group)].mean(axis=0) for group in groups])


def _labels(cells: Sequence[Cell]) -> list[Labels]:
    return [cell.labels for cell in cells]


def _of(drawn: Resampled, first: int, number: int = 1) -> Resampled:
    """Take some of the systems."""
    some = slice(first, first + number)
    return drawn._replace(rates=drawn.rates[some], draws=drawn.draws[:, some])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _rate(counts: Counts) -> float:
    return float("nan") if counts.rate is None else counts.rate


def _share(counts: Counts, field: str) -> float:
    return getattr(counts, field) / counts.reference if counts.reference else float("nan")
