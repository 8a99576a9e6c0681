"""A score on disk: a summary, and a side file with a line per utterance.

`score.json` is the summary; `score.per_utt.tsv` beside it holds one line per utterance, which
the bootstrap needs and which is the place to look errors up.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json, writing
from espnet_otreg.scoring.wer import AUTO, TOTAL, Counts, Summary, Utterance, summarise

_COUNTS = [f"{unit}_{field}" for unit in ("word", "char") for field in Counts._fields]
_MOST = 1 << 31  # words of one utterance: sums of them fit a machine's integers
_COLUMNS = ["utterance", "speaker", "language", *_COUNTS, "reference", "hypothesis"]


class Scored(NamedTuple):
    """A score read back from disk."""

    path: Path
    normaliser: str
    utterances: list[Utterance]  # sorted by name
    summaries: dict[str, Summary]  # by language, and total
    missing: int = 0  # utterances without hypothesis, counted as empty
    ignored: int = 0  # hypotheses without reference, left out


def save_score(
    path: Path, utterances: Sequence[Utterance], normaliser: str, facts: Mapping[str, Any]
) -> dict[str, Summary]:
    """Write the per-utterance file, then the summary, which is the sign that both are done.

    Returns the summaries by language, and the total.
    """
    lines = ["\t".join(_COLUMNS)]
    for u in sorted(utterances):
        counts = map(str, (*u.words, *u.characters))
        lines.append("\t".join([*u[:3], *counts, u.reference, u.hypothesis]))
    table = "\n".join(lines) + "\n"
    side_file = _side_file(path)
    with writing(side_file) as stream:
        stream.write(table)
    summaries = summarise(utterances)
    languages = {name: _summary_json(part) for name, part in summaries.items()}
    total = languages.pop(TOTAL)
    content = {
        **facts,
        "normaliser": normaliser,
        "per_utterance": side_file.name,
        "per_utterance_sha256": hashlib.sha256(table.encode("utf-8")).hexdigest(),
        TOTAL: total,
        "languages": languages,
    }
    write_json(path, content)
    return summaries


def load_score(path: Path, metric: str = AUTO) -> Scored:
    """Read a score and check that its two files belong together."""
    if not path.name:
        raise UserError(f"{path} is no file; name a score.json")
    side_file = _side_file(path)
    for needed in (path, side_file):
        if not os.path.isfile(needed):  # which no name is too long for
            raise UserError(
                f"{needed} does not exist; score first: python -m espnet_otreg.stages.score "
                f"--ref <data dir> --hyp {path.with_name('text')} --output {path}"
            )
    content = read_json(path)
    read = side_file.read_bytes()
    if content.get("per_utterance_sha256") != hashlib.sha256(read).hexdigest():
        raise UserError(f"{side_file} is not the file that {path} was made with; score again")
    normaliser = content.get("normaliser")
    # translations and old scores do not say
    missing, ignored = (content.get(f"{kind}_hypotheses", 0) for kind in ("missing", "ignored"))
    if not isinstance(normaliser, str) or not _are_counts(missing, ignored):
        raise UserError(
            f"{path} should name its normaliser and count missing and ignored hypotheses, not "
            f"{normaliser!r}, {missing!r}, {ignored!r}; score again"
        )
    try:
        header, *lines = read.decode("utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{side_file} is not UTF-8 ({error}); score again") from error
    if header.split("\t") != _COLUMNS:
        raise UserError(f"{side_file} has other columns than this version writes; score again")
    utterances = [_utterance(side_file, n, line.split("\t")) for n, line in enumerate(lines, 2)]
    if not lines or len({utterance.name for utterance in utterances}) < len(lines):
        raise UserError(f"{side_file} should have every utterance once, and one at least")
    return Scored(path, normaliser, utterances, summarise(utterances, metric), missing, ignored)


def load_pooled(places: Mapping[str, Path], metric: str = AUTO) -> Scored:
    """Read the scores of one test set, or of several as one; a speaker's name is one person."""
    parts = {name: load_score(path, metric) for name, path in places.items()}
    first = next(iter(parts.values()))
    if len(parts) == 1:
        return first
    for scored in parts.values():
        if scored.normaliser != first.normaliser:
            raise UserError(
                f"scores made with different normalisers cannot be pooled: '{first.normaliser}' in "
                f"{first.path}, '{scored.normaliser}' in {scored.path}; score all with one"
            )
    pooled = [u._replace(name=f"{n} {u.name}") for n, s in parts.items() for u in s.utterances]
    missing, ignored = (
        sum(getattr(scored, kind) for scored in parts.values()) for kind in ("missing", "ignored")
    )
    return Scored(first.path, first.normaliser, pooled, summarise(pooled, metric), missing, ignored)


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and 0 <= value < _MOST for value in values)


def _utterance(path: Path, number: int, values: list[str]) -> Utterance:
    try:
        name, speaker, language, *counts, reference, hypothesis = values
        numbers = [int(count) for count in counts]
        words, characters = Counts(*numbers[:5]), Counts(*numbers[5:])
        if not _are_counts(*numbers) or not all(map(_adds_up, (words, characters))):
            raise ValueError(f"{numbers} are no counts of one alignment")
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}:{number} is no scored utterance ({error}); score again") from error
    return Utterance(name, speaker, language, words, characters, reference, hypothesis)


def _adds_up(counts: Counts) -> bool:
    return counts.hits + counts.substitutions + counts.deletions == counts.reference


def _side_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}.per_utt.tsv")


def _summary_json(summary: Summary) -> dict[str, Any]:
    counts = {
        unit: {**getattr(summary, unit)._asdict(), "error_rate": getattr(summary, unit).rate}
        for unit in ("words", "characters")
    }
    return {
        "metric": summary.metric,
        "error_rate": summary.primary.rate,
        **counts,
        "utterances": summary.utterances,
        "speakers": summary.speakers,
        "sentence_error_rate": summary.sentence_error_rate,
        "empty_hypotheses": summary.empty_hypotheses,
        "empty_hypothesis_share": summary.empty_share,
        "empty_references": summary.empty_references,
        "failures": {
            mode: {"utterances": number, "share": number / summary.utterances}
            for mode, number in summary.failures.items()
        },
    }
