"""Compare scored experiments: systems x test sets x languages, all on the same draws of speakers.

A system is one experiment, or several that differ by the training seed only. The first system
is the baseline.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import (
    Comparison,
    Part,
    Result,
    SetName,
    System,
    TestedSet,
)
from espnet_otreg.scoring.failures import MODES, UNRELATED, warning_of_unrelated
from espnet_otreg.scoring.macro import macro_difference, macro_interval, resample_macro
from espnet_otreg.scoring.score_file import Scored, load_score
from espnet_otreg.scoring.significance import (
    SAMPLES,
    Difference,
    Interval,
    paired_difference,
    rate_interval,
    resample_speakers,
)
from espnet_otreg.scoring.timing import read_timing
from espnet_otreg.scoring.wer import AUTO, TOTAL, Counts, Utterance, metric_of

SCORE_FILE = "score.json"


def parse_systems(folders: Sequence[str], names: Sequence[str] | None) -> tuple[System, ...]:
    """Read `exp/a_seed1,exp/a_seed2` as one system with two seeds; default name: the folder's."""
    groups = [tuple(Path(part) for part in group.split(",") if part) for group in folders]
    if any(not group for group in groups):
        raise UserError(f"an experiment is empty in {list(folders)}; give a folder for each")
    names = names or [group[0].name for group in groups]
    if len(names) != len(groups):
        raise UserError(
            f"{len(groups)} experiments but {len(names)} names ({', '.join(names)}); "
            "give one name each, the baseline's first"
        )
    for what, values in (("name", names), ("folder", [f for group in groups for f in group])):
        repeated = sorted({str(value) for value in values if list(values).count(value) > 1})
        if repeated:
            raise UserError(f"the same {what} is given twice: {', '.join(repeated)}")
    return tuple(System(*pair) for pair in zip(names, groups, strict=True))


def parse_external(given: Sequence[str]) -> tuple[System, ...]:
    """Read `name=folder` of systems that were decoded elsewhere."""
    systems = []
    for text in given:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise UserError(
                f"--external {text!r} should be name=folder, a folder with <test_set>/score.json"
            )
        systems.append(System(name, (Path(folder),), external=True))
    return tuple(systems)


def decoding_folder(system: System, folder: Path, decode_tag: str, test_set: str) -> Path:
    """Name the folder with a system's results on a test set."""
    return folder / test_set if system.external else folder / decode_tag / test_set


def compare(
    systems: Sequence[System],
    sets: Sequence[SetName],
    decode_tag: str,
    *,
    metric: str = AUTO,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Comparison:
    """Collect the scores of all systems on all test sets and judge them against the first."""
    repeated = sorted({s.name for s in sets if [t.name for t in sets].count(s.name) > 1})
    if repeated:
        raise UserError(f"a test set can be in one domain only: {', '.join(repeated)}")
    if len({system.name for system in systems}) < len(systems):
        names = ", ".join(system.name for system in systems)
        raise UserError(f"two systems have one name among {names}; rename one")
    normalisers: dict[str, Path] = {}
    tested = []
    cautions: list[str] = []
    for name, domain in sets:
        places = [
            [decoding_folder(system, folder, decode_tag, name) for folder in system.folders]
            for system in systems
        ]
        scores = [[load_score(place / SCORE_FILE, metric) for place in group] for group in places]
        flat = [scored for group in scores for scored in group]
        normalisers.update((scored.normaliser, scored.path) for scored in flat)
        _check_one_normaliser(normalisers)
        _check_same_references(flat)
        timings = tuple(tuple(filter(None, map(read_timing, group))) for group in places)
        parts = _Parts(scores, metric, samples, seed)
        cautions += caveats(name, systems, scores)
        tested.append(TestedSet(name, domain, parts.all(), parts.macro(), timings))
    facts = (next(iter(normalisers)), decode_tag, samples, seed)
    return Comparison(tuple(systems), tuple(tested), *facts, tuple(cautions))


def _check_one_normaliser(normalisers: Mapping[str, Path]) -> None:
    if len(normalisers) > 1:
        seen = "; ".join(f"'{name}' in {path}" for name, path in normalisers.items())
        raise UserError(
            f"scores made with different normalisers do not compare: {seen}; score all with one"
        )


def _check_same_references(scores: Sequence[Scored]) -> None:
    first = scores[0]
    expected = {u.name: (u.speaker, u.language, u.reference) for u in first.utterances}
    for scored in scores[1:]:
        given = {u.name: (u.speaker, u.language, u.reference) for u in scored.utterances}
        differ = sorted(
            name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)
        )
        if differ:
            raise UserError(
                f"{first.path} and {scored.path} were scored against different references: "
                f"{len(differ)} utterances differ in text, speaker or language or are in one "
                f"only ({', '.join(differ[:3])}); score both again from one data directory"
            )


class _Parts:
    """The parts of one test set."""

    def __init__(
        self, scores: Sequence[Sequence[Scored]], metric: str, samples: int, seed: int
    ) -> None:
        self.scores = scores  # by system, by training seed
        self.metric = metric
        self.draws = {"samples": samples, "seed": seed}
        self.utterances: list[Utterance] = scores[0][0].utterances
        self.languages = np.array([u.language for u in self.utterances])
        self.speakers = np.array([u.speaker for u in self.utterances])
        self.references = np.array([u.primary(metric).reference for u in self.utterances])
        # (systems, utterances), means over the seeds
        self.errors: NDArray[np.float64] = np.array(
            [
                np.mean([[u.primary(metric).errors for u in s.utterances] for s in group], axis=0)
                for group in scores
            ]
        )

    def all(self) -> dict[str, Part]:
        """Every language, and the total."""
        return {language: self._part(language) for language in self.scores[0][0].summaries}

    def macro(self) -> Part | None:
        """The means over languages; nothing where they would repeat the single language."""
        summaries = self.scores[0][0].summaries
        languages = [n for n, part in summaries.items() if n != TOTAL and part.primary.reference]
        if len(languages) < 2:
            return None
        resampled = resample_macro(
            self.errors, self.references, list(self.speakers), list(self.languages), **self.draws
        )
        results = [
            self._result(
                languages,
                index,
                macro_interval(resampled, index),
                macro_difference(resampled, index) if index else None,
            )
            for index in range(len(self.scores))
        ]
        return self._sized(TOTAL, len(set(self.speakers)), results)

    def _part(self, language: str) -> Part:
        chosen = np.flatnonzero(
            np.ones(len(self.languages), bool) if language == TOTAL else self.languages == language
        )
        resampled = resample_speakers(
            self.errors[:, chosen],
            self.references[chosen],
            list(self.speakers[chosen]),
            **self.draws,
        )
        results = [
            self._result(
                [language],
                index,
                rate_interval(resampled, index),
                paired_difference(resampled, index) if index else None,
            )
            for index in range(len(self.scores))
        ]
        return self._sized(language, resampled.speakers, results)

    def _sized(self, language: str, speakers: int, results: Sequence[Result]) -> Part:
        summary = self.scores[0][0].summaries[language]
        languages = [name for name in self.scores[0][0].summaries if name != TOTAL]
        return Part(
            metric=metric_of(languages if language == TOTAL else [language], self.metric),
            utterances=summary.utterances,
            speakers=speakers,
            words=summary.words.reference,
            empty_references=summary.empty_references,
            results=tuple(results),
        )

    def _result(
        self,
        languages: Sequence[str],
        index: int,
        interval: Interval,
        difference: Difference | None,
    ) -> Result:
        """Average over the training seeds, and over languages where several are given."""
        seeds = [[scored.summaries[name] for name in languages] for scored in self.scores[index]]
        first = [[scored.summaries[name] for name in languages] for scored in self.scores[0]]
        rates, baseline = (
            [_mean(_rate(s.primary) for s in one) for one in x] for x in (seeds, first)
        )
        flat = [summary for one in seeds for summary in one]
        return Result(
            seed_rates=tuple(rates),
            deviation=float(np.std(rates, ddof=1)) if len(rates) > 1 else None,
            interval=interval,
            substitutions=_mean(_share(s.primary, "substitutions") for s in flat),
            deletions=_mean(_share(s.primary, "deletions") for s in flat),
            insertions=_mean(_share(s.primary, "insertions") for s in flat),
            cer=_mean(_rate(s.characters) for s in flat),
            sentence_error_rate=_mean(s.sentence_error_rate for s in flat),
            empty_share=_mean(s.empty_share for s in flat),
            failures={mode: _mean(s.failures[mode] / s.utterances for s in flat) for mode in MODES},
            difference=difference,
            seed_differences=tuple(a - b for a, b in zip(rates, baseline, strict=True))
            if difference is not None and len(rates) == len(baseline)
            else (),
        )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _rate(counts: Counts) -> float:
    return float("nan") if counts.rate is None else counts.rate


def _share(counts: Counts, field: str) -> float:
    return getattr(counts, field) / counts.reference if counts.reference else float("nan")


def caveats(
    test_set: str, systems: Sequence[System], scores: Sequence[Sequence[Scored]]
) -> Iterator[str]:
    """Say, in sentences, what was done to hypotheses and what speakers and languages are not."""
    for system, group in zip(systems, scores, strict=True):
        for folder, scored in zip(system.folders, group, strict=True):
            who = system.name if len(group) == 1 else f"{system.name} ({folder.name})"
            if scored.missing:
                yield (
                    f"{who} has no hypothesis for {scored.missing:,} of the "
                    f"{len(scored.utterances):,} utterances of {test_set}; each counts as empty, "
                    "every word deleted."
                )
            if scored.ignored:
                yield (
                    f"{scored.ignored:,} hypotheses of {who} for {test_set} have no reference and "
                    "were left out."
                )
        shares = [s.summaries[TOTAL].failures[UNRELATED] / len(s.utterances) for s in group]
        warning = warning_of_unrelated(f"{system.name} on {test_set}", _mean(shares))
        if warning is not None:
            yield warning
    first = scores[0][0]
    total = first.summaries[TOTAL]
    if total.speakers == total.utterances > 1:
        yield (
            f"In {test_set} every utterance counts as a speaker of its own; if people speak "
            "several, its intervals are too narrow."
        )
    silent = [name for name, part in first.summaries.items() if not part.primary.reference]
    if silent:
        yield (
            f"{', '.join(silent)} in {test_set} has no reference word, so no error rate, and is "
            "left out of the macro average."
        )
