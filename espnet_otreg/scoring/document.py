"""Compose RESULTS.md, results.json and the part of a README that shows the main table."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.commands import shown
from espnet_otreg.errors import UserError
from espnet_otreg.files import nan_to_null, writing
from espnet_otreg.scoring.chance import READING, covered, result_json, variance_table
from espnet_otreg.scoring.comparison import Comparison, Part
from espnet_otreg.scoring.matrix import Matrix, matrix_json, matrix_section
from espnet_otreg.scoring.provenance import Provenance, read_training_run
from espnet_otreg.scoring.significance import CONFIDENCE
from espnet_otreg.scoring.tables import (
    detail_table,
    difference_table,
    failure_table,
    main_table,
    markdown,
    set_table,
    speed_table,
    verdicts,
)
from espnet_otreg.scoring.trainings import skipped_updates, training_table, unlike_steps
from espnet_otreg.scoring.wer import TOTAL

README_BEGIN = "<!-- results:begin -->"
README_END = "<!-- results:end -->"

_READING = """\
How to read this. Intervals and p are paired with the baseline, and speak of what the caption says
they are over: speakers by a bootstrap ({samples} draws, seed {seed}), trained models by the
variance between them, as `espnet_otreg/scoring/significance.py` explains. What is held at one could
have been another one, and then the difference might be another one: "better" and "worse" are said
only where nothing is held at one, else "lower" and "higher" for what is. They are for one
comparison each, not corrected for the number of comparisons in the table. "Not distinguishable"
means that the interval includes 0, not that the systems are equal."""

_FAILURES = """\
In % of the utterances; one can fail in several ways. Empty: nothing written though words were
spoken. Repetition: a word or a phrase, or characters inside a word, in a loop that the reference
does not have. Wrong script: most letters are in a script of neither language nor reference. Runaway
length: more than twice as long as the reference and five words (without spaces: ten characters)
more. Unrelated: something else was written, which has no word in common with what was said.
The exact limits are in `espnet_otreg/scoring/failures.py`."""
_SPEED = """\
Seconds of decoding per second of audio, loading of the model excluded; seconds are those of one
process, added up over the processes, so that several processes take less than that by the clock."""


def results_document(
    comparison: Comparison,
    made: Provenance,
    commands: Sequence[str],
    device: str | None,
    matrix: Matrix | None = None,
) -> str:
    """Write everything as one Markdown page."""
    reading = _READING.format(samples=comparison.samples, seed=comparison.seed)
    sections = [
        "# Results",
        summary(comparison),
        reading,
        *_variance(comparison),
        "" if matrix is None else matrix_section(matrix),
        "## What the errors are",
        "In % of the reference words (characters where the metric is CER); `sentence` is the share "
        "of utterances with an error, `empty` of those without any output though words were "
        "spoken.",
        markdown(detail_table(comparison)),
        "## How hypotheses fail",
        _FAILURES,
        markdown(failure_table(comparison)),
        *_speed(comparison),
        "## Differences from the baseline",
        f"Points of error rate against {comparison.systems[0].name}; negative is better.",
        markdown(difference_table(comparison)),
        "## How this was made",
        _facts(comparison, made, device),
        markdown(set_table(comparison)),
        markdown(training_table(comparison)),
        unlike_steps(comparison),
        skipped_updates(comparison),
        _commands(comparison, made, commands),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def summary(comparison: Comparison) -> str:
    """Write the main table with what is needed to read it: also what a README shows."""
    domains = ", ".join(f"{tested.domain} is {tested.name}" for tested in comparison.sets)
    seeds = sorted({len(system.folders) for system in comparison.systems})
    trained = f"{' or '.join(map(str, seeds))} trained models, mean ± standard deviation; "
    if seeds == [1]:
        trained = "one trained model, so how much training itself varies is unknown; "
    if all(system.external for system in comparison.systems):
        trained = ""
    metrics = {tested.parts[TOTAL].metric for tested in comparison.sets}
    note = (
        "; `CER` marks languages written without spaces, `mixed` counts those in characters and "
        "the others in words"
        if len(metrics) > 1 or "mixed" in metrics
        else ""
    )
    macro = any(tested.macro for tested in comparison.sets)
    note += "; `macro` is the mean over languages, `total` pools all words" if macro else ""
    external = [system.name for system in comparison.systems if system.external]
    if external:
        note += f"; decoded elsewhere and scored here: {', '.join(external)}"
    unit = "characters" if metrics == {"CER"} else "words"
    caption = (
        f"Error rate in % of the {unit}, lower is better; normaliser `{comparison.normaliser}`; "
        f"{trained}{domains}{note}. In brackets: 95 % interval of the difference, paired, over "
        f"{covered(comparison)}."
    )
    said = "\n".join(verdicts(comparison))
    return "\n\n".join([markdown(main_table(comparison)), caption, said, *comparison.caveats])


def results_json(
    comparison: Comparison,
    made: Provenance,
    commands: Sequence[str],
    device: str | None,
    matrix: Matrix | None = None,
) -> dict[str, Any]:
    """Hold everything that the tables show, at full precision; rates are shares, not per cent."""
    systems = [
        {
            "name": system.name,
            "external": system.external,
            "seeds": [
                {
                    "folder": str(folder),
                    "run": read_training_run(folder)._asdict(),
                    "labels": dict(labels),
                }
                for folder, labels in zip(system.folders, rows, strict=True)
            ],
        }
        for system, rows in zip(comparison.systems, comparison.labels, strict=True)
    ]
    content: dict[str, Any] = {
        "made": {**made._asdict(), "commands": list(commands), "device": device},
        "normaliser": comparison.normaliser,
        "decode_tag": comparison.decode_tag,
        "bootstrap": {
            "resampled": "speakers",
            "covers": covered(comparison),
            "samples": comparison.samples,
            "seed": comparison.seed,
            "confidence": CONFIDENCE,
        },
        "baseline": comparison.systems[0].name,
        "systems": systems,
        "caveats": list(comparison.caveats),
        "test_sets": [_set_json(comparison, index) for index in range(len(comparison.sets))],
    }
    if matrix is not None:
        content["matrix"] = matrix_json(matrix)
    return nan_to_null(content)


def _variance(comparison: Comparison) -> list[str]:
    table = variance_table(comparison)
    title = "## Where the variance of differences comes from"
    return [] if table is None else [title, READING, markdown(table)]


def _speed(comparison: Comparison) -> list[str]:
    table = speed_table(comparison)
    return [] if table is None else ["## How fast decoding was", _SPEED, markdown(table)]


def replace_in_readme(path: Path, text: str) -> None:
    """Put `text` between the two markers of a README."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; it should hold {README_BEGIN} and {README_END}")
    content = path.read_text(encoding="utf-8")
    begin, end = content.find(README_BEGIN), content.find(README_END)
    if content.count(README_BEGIN) != 1 or content.count(README_END) != 1 or end < begin:
        raise UserError(
            f"{path} should hold the line {README_BEGIN} once and after it {README_END} once; "
            f"it has {content.count(README_BEGIN)} and {content.count(README_END)}"
        )
    head = content[: begin + len(README_BEGIN)]
    with writing(path) as stream:
        stream.write(f"{head}\n\n{text.strip()}\n\n{content[end:]}")


def _facts(comparison: Comparison, made: Provenance, device: str | None) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    lines = [
        f"- Made {made.date}, git {made.git}",
        f"- Versions: {versions}",
        f"- Normaliser `{comparison.normaliser}`"
        + (f", decoding `{comparison.decode_tag}`" if comparison.decode_tag else ""),
    ]
    if device is not None:
        lines.append(f"- Device: {device}")
    return "\n".join(lines)


def _commands(comparison: Comparison, made: Provenance, commands: Sequence[str]) -> str:
    runs = [read_training_run(folder) for s in comparison.systems for folder in s.folders]
    trained = [shown(shlex.split(run.command)) for run in runs if run.command is not None]
    unique = dict.fromkeys([*commands, *trained, made.command])
    return "\n".join(["```sh", *unique, "```"])


def _set_json(comparison: Comparison, index: int) -> dict[str, Any]:
    tested = comparison.sets[index]
    macro = tested.macro and _part_json(comparison, tested.macro)
    timings = {
        system.name: [{**t._asdict(), "real_time_factor": t.real_time_factor} for t in found]
        for system, found in zip(comparison.systems, tested.timings, strict=True)
    }
    return {
        "name": tested.name,
        "domain": tested.domain,
        "parts": {name: _part_json(comparison, part) for name, part in tested.parts.items()},
        "macro": macro,
        "timings": timings,
    }


def _part_json(comparison: Comparison, part: Part) -> dict[str, Any]:
    results = {}
    for system, result in zip(comparison.systems, part.results, strict=True):
        difference = result.difference
        results[system.name] = {
            **result._asdict(),
            "interval": result.interval._asdict(),
            "difference": difference
            and {
                "absolute": difference.absolute._asdict(),
                "relative": difference.relative._asdict(),
                "p": difference.p,
                "verdict": difference.verdict,
            },
            **result_json(part, result),
        }
    return {**part._asdict(), "results": results}
