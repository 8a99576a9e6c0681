"""A score on disk: a summary, and a side file with a line per utterance.

`score.json` is the summary; `score.per_utt.tsv` beside it holds one line per utterance, which
the bootstrap needs and which is the place to look errors up.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json, writing
from espnet_otreg.scoring.wer import AUTO, TOTAL, Counts, Summary, Utterance, summarise

_COUNTS = [f"{unit}_{field}" for unit in ("word", "char") for field in Counts._fields]
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
        "per_utterance_sha256": _sha256(table),
        TOTAL: total,
        "languages": languages,
    }
    write_json(path, content)
    return summaries


def load_score(path: Path, metric: str = AUTO) -> Scored:
    """Read a score and check that its two files belong together."""
    side_file = _side_file(path)
    for needed in (path, side_file):
        if not needed.is_file():
            raise UserError(
                f"{needed} does not exist; score first: python -m espnet_otreg.bin.score "
                f"--ref <data dir> --hyp {path.with_name('text')} --output {path}"
            )
    content = read_json(path)
    table = side_file.read_bytes().decode("utf-8")
    if content.get("per_utterance_sha256") != _sha256(table):
        raise UserError(f"{side_file} is not the file that {path} was made with; score again")
    header, *lines = table.rstrip("\n").split("\n")
    if header.split("\t") != _COLUMNS:
        raise UserError(f"{side_file} has other columns than this version writes; score again")
    utterances = [_utterance(line.split("\t")) for line in lines]
    return Scored(
        path,
        content["normaliser"],
        utterances,
        summarise(utterances, metric),
        content.get("missing_hypotheses", 0),  # translations and old scores do not say
        content.get("ignored_hypotheses", 0),
    )


def _utterance(values: list[str]) -> Utterance:
    name, speaker, language, *counts, reference, hypothesis = values
    numbers = [int(count) for count in counts]
    words, characters = Counts(*numbers[:5]), Counts(*numbers[5:])
    return Utterance(name, speaker, language, words, characters, reference, hypothesis)


def _side_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}.per_utt.tsv")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


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
