"""The table of a sweep: every variant beside the first, with intervals and training time."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.scoring.chance import covered
from espnet_otreg.scoring.comparison import Comparison, Result
from espnet_otreg.scoring.document import results_json
from espnet_otreg.scoring.provenance import NOT_RECORDED, Provenance, read_training_run
from espnet_otreg.scoring.significance import FEWEST_SPEAKERS
from espnet_otreg.scoring.tables import NOTHING, Table, markdown, mean_and_deviation, percent
from espnet_otreg.scoring.wer import TOTAL

_READING = """\
Each row is compared with {first}. Error rates in % of the whole test set, mean ± standard deviation
over the training seeds {seeds}; {sets}; normaliser `{normaliser}`. Δ is the difference in points,
negative is better, with its 95 % interval, paired, over {covered}; speakers by a bootstrap
({samples} draws, seed {bootstrap_seed}); no interval with fewer than {fewest} speakers. * marks
what interval and p tell from 0, for what is held at one. There are {comparisons} comparisons here,
and by chance alone one in twenty would be marked: read neighbours together. Training time is wall
time, mean over the seeds, and its ratio to {first}; trainings side by side slow each other down."""


class Row(NamedTuple):
    """What a variant is, beside its scores."""

    name: str
    source: str  # the YAML that it is made from
    changes: str  # what it changes there, for people
    config: str  # the YAML it was trained with


class Sources(NamedTuple):
    """Where the numbers come from."""

    title: str
    question: str  # what the sweep asks
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]  # in the order of the comparison's systems
    made: Provenance
    commands: tuple[str, ...]  # that made the experiments
    details: tuple[str, ...]  # pages of the recipe, with the figures by language


def ablation_table(comparison: Comparison) -> Table:
    """One row per variant: rates, differences from the first row, seeds and training time."""
    header = ["variant", "seeds"]
    for tested in comparison.sets:
        metric = tested.parts[TOTAL].metric
        header += [f"{tested.name} {metric}", f"Δ {metric}"]
        header += [] if metric == "CER" else ["CER"]
    header.append("training time")
    rows = []
    for index, system in enumerate(comparison.systems):
        cells = [system.name, str(len(system.folders))]
        for tested in comparison.sets:
            part = tested.parts[TOTAL]
            result = part.results[index]
            cells += [mean_and_deviation(result), _difference(result)]
            cells += [] if part.metric == "CER" else [percent(result.cer)]
        rows.append([*cells, _time(system.folders, comparison.systems[0].folders)])
    return Table(header, rows)


def training_time(folders: Sequence[Path]) -> float | None:
    """Seconds from each folder's `run.json`, averaged; None where one is not recorded."""
    times = [read_training_run(folder).wall_time_s for folder in folders]
    known = [time for time in times if time is not None]
    return sum(known) / len(known) if len(known) == len(times) else None


def ablation_document(comparison: Comparison, sources: Sources) -> str:
    """Write the table and where it comes from as one Markdown page."""
    made = sources.made
    devices = {
        read_training_run(folder).device or NOT_RECORDED
        for system in comparison.systems
        for folder in system.folders
    }
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    facts = [
        f"- Made {made.date}, git {made.git}",
        f"- Versions: {versions}",
        f"- Normaliser `{comparison.normaliser}`, decoding `{comparison.decode_tag}`",
        f"- Training seeds {_listed(sources.seeds)}; trained on {'; '.join(sorted(devices))}",
        f"- By language, and what the errors are: {', '.join(sources.details)}",
    ]
    sections = [
        f"# Ablation: {sources.title}",
        sources.question,
        markdown(ablation_table(comparison)),
        _reading(comparison, sources.seeds),
        "## Variants",
        markdown(_variant_table(comparison, sources.rows)),
        "## How this was made",
        "\n".join(facts),
        "\n".join(["```sh", *dict.fromkeys([made.command, *sources.commands]), "```"]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def ablation_json(comparison: Comparison, sources: Sources) -> dict[str, Any]:
    """Hold what `results_json` holds, and the sweep."""
    variants = [
        {**row._asdict(), "training_time_s": training_time(system.folders)}
        for row, system in zip(sources.rows, comparison.systems, strict=True)
    ]
    sweep = {
        "name": sources.title,
        "question": sources.question,
        "seeds": list(sources.seeds),
        "variants": variants,
    }
    results = results_json(comparison, sources.made, sources.commands, None)
    return {"sweep": sweep, **results}


def _reading(comparison: Comparison, seeds: Sequence[int]) -> str:
    sets = ", ".join(f"{tested.name} is {tested.domain}" for tested in comparison.sets)
    text = _READING.format(
        first=comparison.systems[0].name,
        seeds=_listed(seeds),
        sets=sets,
        normaliser=comparison.normaliser,
        covered=covered(comparison),
        samples=comparison.samples,
        bootstrap_seed=comparison.seed,
        fewest=FEWEST_SPEAKERS,
        comparisons=len(comparison.sets) * (len(comparison.systems) - 1),
    )
    return " ".join(text.split())


def _variant_table(comparison: Comparison, rows: Sequence[Row]) -> Table:
    cells = [
        [row.name, row.source, row.changes or NOTHING, " ".join(map(str, system.folders))]
        for row, system in zip(rows, comparison.systems, strict=True)
    ]
    return Table(["variant", "made from", "changed", "experiments, by seed"], cells, text_columns=4)


def _difference(result: Result) -> str:
    if result.difference is None:
        return NOTHING
    interval = result.difference.absolute
    text = percent(interval.value, "+")
    if not math.isnan(interval.low):
        text += f" [{percent(interval.low, '+')}, {percent(interval.high, '+')}]"
    return f"{text} *" if result.difference.told_apart else text


def _time(folders: Sequence[Path], first: Sequence[Path]) -> str:
    seconds, reference = training_time(folders), training_time(first)
    if seconds is None:
        return NOT_RECORDED
    minutes, rest = divmod(round(seconds), 60)
    text = f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
    return f"{text} (×{seconds / reference:.2f})" if reference else text


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
