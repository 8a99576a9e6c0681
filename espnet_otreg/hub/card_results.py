"""Results in a model card: a table with intervals, and the hub's machine-readable `model-index`."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json
from espnet_otreg.scoring.tables import Table, markdown, p_value, percent

TOTAL = "total"


class Row(NamedTuple):
    """This model on one part of a test set; rates are shares."""

    test_set: str
    domain: str
    language: str
    metric: str
    rate: float  # of this checkpoint
    system: Mapping[str, Any]  # of results.json: all seeds of this system together


class CardResults(NamedTuple):
    """What stages/compare found, seen from one experiment."""

    name: str  # of the system in the table
    seeds: int
    baseline: str
    normaliser: str
    rows: tuple[Row, ...]
    covers: str | None = None  # what intervals are over; None in files of before this was told


def read_results(path: Path, experiment: Path) -> CardResults:
    """Find an experiment in results.json."""
    content = read_json(path)
    try:
        name, place, seeds = _find(content["systems"], path, experiment)
        rows = tuple(_rows(content["test_sets"], name, place))
        covers = content.get("bootstrap", {}).get("covers")
        return CardResults(name, seeds, content["baseline"], content["normaliser"], rows, covers)
    except KeyError as error:
        raise UserError(
            f"{path} has no {error}: make it with espnet_otreg.stages.compare"
        ) from error


def results_section(results: CardResults, synthetic: bool) -> str:
    """The card's table, with what is needed to read it."""
    others = results.seeds > 1
    header = ["test set", "domain", "language", "metric", "this model"]
    header += [f"mean of {results.seeds} models"] if others else []
    header += ["95 % interval", f"against {results.baseline}", "95 % interval", "p"]
    rows = []
    for row in results.rows:
        interval = row.system["interval"]
        cells = [row.test_set, row.domain, row.language, row.metric, percent(row.rate)]
        cells += [percent(_number(interval["value"]))] if others else []
        rows.append([*cells, _bounds(interval), *_difference(row.system["difference"])])
    mean = ", of the mean over trained models" if others else ""
    caption = (
        f"Error rate in %, lower is better; normaliser `{results.normaliser}` on references and "
        f"hypotheses. The difference in points, paired{mean}; its interval is over "
        f"{results.covers or 'speakers'}."
    )
    if synthetic:
        caption += " The test sets are synthetic too."
    return f"{markdown(Table(header, rows, text_columns=4))}\n\n{caption}"


def model_index(name: str, results: CardResults, synthetic: bool) -> list[dict[str, Any]]:
    """What the hub reads from the card's head; the figures are this checkpoint's own."""
    found = []
    for row in results.rows:
        if math.isnan(row.rate) or row.metric not in ("WER", "CER"):
            continue  # a mixture of words and characters is no metric that the hub knows
        corpus, _, split = row.test_set.rpartition("_")
        shown = f"{corpus or row.test_set}{' (synthetic miniature)' if synthetic else ''}"
        kind = f"mini_{corpus}" if synthetic else corpus or row.test_set
        found.append(
            {
                "task": {"type": "automatic-speech-recognition", "name": "Speech Recognition"},
                "dataset": {
                    "name": shown,
                    "type": kind,
                    "config": row.language,
                    "split": split,
                },
                "metrics": [
                    {
                        "type": row.metric.lower(),
                        "value": round(100 * row.rate, 2),
                        "name": f"{row.metric}, normaliser {results.normaliser}, {row.domain}",
                    }
                ],
            }
        )
    return [{"name": name, "results": found}]


def _find(systems: list[dict[str, Any]], path: Path, experiment: Path) -> tuple[str, int, int]:
    for system in systems:
        folders = [Path(seed["folder"]).name for seed in system["seeds"]]
        if experiment.resolve().name in folders:
            return system["name"], folders.index(experiment.resolve().name), len(folders)
    names = ", ".join(system["name"] for system in systems)
    raise UserError(f"{path} compares {names}, and {experiment} is none of their folders")


def _rows(test_sets: list[dict[str, Any]], name: str, place: int) -> Iterator[Row]:
    for tested in test_sets:
        parts = tested["parts"]
        for language, part in parts.items():
            if language == TOTAL and len(parts) == 2:
                continue  # it repeats the one language
            system = part["results"][name]
            rate = _number(system["seed_rates"][place])
            yield Row(tested["name"], tested["domain"], language, part["metric"], rate, system)


def _difference(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["baseline", "", ""]
    value = found["absolute"]
    return [
        percent(_number(value["value"]), "+"),
        _bounds(value, "+"),
        p_value(_number(found["p"])),
    ]


def _bounds(interval: Mapping[str, Any], sign: str = "") -> str:
    low, high = _number(interval["low"]), _number(interval["high"])
    if math.isnan(low) or math.isnan(high):
        return percent(math.nan)
    return f"[{percent(low, sign)}, {percent(high, sign)}]"


def _number(value: float | None) -> float:
    """JSON has no nan: null stands for it."""
    return math.nan if value is None else value
