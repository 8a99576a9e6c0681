"""Compare scored experiments: systems x test sets x languages, all on the same draws of speakers.

A system is one experiment, or several that differ by the training seed only. The first system
is the baseline.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.score_file import Scored, load_score
from espnet_otreg.scoring.significance import (
    SAMPLES,
    Difference,
    Interval,
    paired_difference,
    rate_interval,
    resample_speakers,
)
from espnet_otreg.scoring.wer import AUTO, TOTAL, Counts, Summary, metric_of

SCORE_FILE = "score.json"


class System(NamedTuple):
    """One row of a table."""

    name: str
    folders: tuple[Path, ...]  # one experiment folder per training seed


class SetName(NamedTuple):
    """A test set and what it is to the training data, such as `in-domain`."""

    name: str
    domain: str


class Result(NamedTuple):
    """One system on one part of a test set; rates are shares, means over the seeds."""

    seed_rates: tuple[float, ...]
    deviation: float | None  # standard deviation over the seeds; None with one seed
    interval: Interval
    substitutions: float
    deletions: float
    insertions: float
    cer: float
    sentence_error_rate: float
    empty_share: float
    difference: Difference | None  # from the baseline; None for the baseline itself
    seed_differences: tuple[float, ...]  # seed by seed; empty when the seeds do not pair


class Part(NamedTuple):
    """One language of a test set, or all of it."""

    metric: str  # WER, CER or mixed
    utterances: int
    speakers: int
    words: int
    empty_references: int
    results: tuple[Result, ...]  # one per system


class TestedSet(NamedTuple):
    """A test set with its parts by language; the last is `total`."""

    name: str
    domain: str
    parts: dict[str, Part]


class Comparison(NamedTuple):
    """Everything that the tables say."""

    systems: tuple[System, ...]
    sets: tuple[TestedSet, ...]
    normaliser: str
    decode_tag: str
    samples: int
    seed: int


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
    normalisers: dict[str, Path] = {}
    tested = []
    for name, domain in sets:
        scores = [
            [
                load_score(folder / decode_tag / name / SCORE_FILE, metric)
                for folder in system.folders
            ]
            for system in systems
        ]
        flat = [scored for group in scores for scored in group]
        normalisers.update((scored.normaliser, scored.path) for scored in flat)
        _check_one_normaliser(normalisers)
        _check_same_references(flat)
        tested.append(TestedSet(name, domain, _parts(scores, metric, samples, seed)))
    return Comparison(
        tuple(systems), tuple(tested), next(iter(normalisers)), decode_tag, samples, seed
    )


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


def _parts(
    scores: Sequence[Sequence[Scored]], metric: str, samples: int, seed: int
) -> dict[str, Part]:
    utterances = scores[0][0].utterances
    summaries = scores[0][0].summaries
    parts = {}
    for language in summaries:
        chosen = [
            i for i, u in enumerate(utterances) if language == TOTAL or u.language == language
        ]
        errors = np.array(
            [
                np.mean(
                    [[s.utterances[i].primary(metric).errors for i in chosen] for s in group],
                    axis=0,
                )
                for group in scores
            ]
        )  # (systems, utterances)
        resampled = resample_speakers(
            errors,
            [utterances[i].primary(metric).reference for i in chosen],
            [utterances[i].speaker for i in chosen],
            samples=samples,
            seed=seed,
        )
        results = [
            _result(
                [scored.summaries[language] for scored in group],
                [scored.summaries[language] for scored in scores[0]],
                rate_interval(resampled, index),
                paired_difference(resampled, index) if index else None,
            )
            for index, group in enumerate(scores)
        ]
        parts[language] = Part(
            metric=metric_of((utterances[i].language for i in chosen), metric),
            utterances=len(chosen),
            speakers=resampled.speakers,
            words=summaries[language].words.reference,
            empty_references=summaries[language].empty_references,
            results=tuple(results),
        )
    return parts


def _result(
    seeds: Sequence[Summary],
    baseline_seeds: Sequence[Summary],
    interval: Interval,
    difference: Difference | None,
) -> Result:
    rates = [_rate(s.primary) for s in seeds]
    baseline = [_rate(s.primary) for s in baseline_seeds]
    paired = difference is not None and len(rates) == len(baseline)

    def share(field: str) -> float:
        shares = [
            getattr(s.primary, field) / s.primary.reference if s.primary.reference else np.nan
            for s in seeds
        ]
        return float(np.mean(shares))

    return Result(
        seed_rates=tuple(rates),
        deviation=float(np.std(rates, ddof=1)) if len(rates) > 1 else None,
        interval=interval,
        substitutions=share("substitutions"),
        deletions=share("deletions"),
        insertions=share("insertions"),
        cer=float(np.mean([_rate(s.characters) for s in seeds])),
        sentence_error_rate=float(np.mean([s.sentence_error_rate for s in seeds])),
        empty_share=float(np.mean([s.empty_share for s in seeds])),
        difference=difference,
        seed_differences=tuple(a - b for a, b in zip(rates, baseline, strict=True))
        if paired
        else (),
    )


def _rate(counts: Counts) -> float:
    return float("nan") if counts.rate is None else counts.rate
