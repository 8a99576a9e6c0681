"""The page and the JSON of gap measures: systems by sets, seeds, and what may be said of them."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet_otreg.measure.gap_measures import MEASURES, GapSums, chance, fractions, panel
from espnet_otreg.scoring.significance import (
    SAMPLES,
    Interval,
    paired_difference,
    rate_interval,
    resample_speakers,
)
from espnet_otreg.scoring.tables import NOTHING, Table, markdown, p_value

Found = dict[str, dict[str, dict[str, dict[str, GapSums]]]]  # set, system, folder, utterance


class Difference(NamedTuple):
    """A system minus the baseline in one measure."""

    interval: Interval
    p: float


class Sure(NamedTuple):
    """What new speakers might change about a system on a set, by measure."""

    intervals: dict[str, Interval]
    differences: dict[str, Difference]  # from the first system; none for itself


class Report(NamedTuple):
    """All that the page and the JSON say."""

    rows: list[dict[str, Any]]
    found: Found
    sure: Mapping[str, Mapping[str, Sure]]  # set -> system
    sizes: Mapping[str, int]  # utterances that a set has
    left_out: Mapping[str, Mapping[str, str]]  # set -> utterance -> why
    spaces: Sequence[Mapping[str, Any]]
    conf: Any  # options of the transport, a dataclass
    conf_of: str
    provenance: Any


def content(report: Report) -> dict[str, Any]:
    """Return what gap.json holds; nan where there is nothing to measure."""
    intervals, differences = [], []
    for test, systems in report.sure.items():
        for system, told in systems.items():
            where = {"set": test, "system": system}
            for name, interval in told.intervals.items():
                intervals.append({**where, "measure": name, **interval._asdict()})
            for name, (interval, p) in told.differences.items():
                differences.append({**where, "measure": name, **interval._asdict(), "p": p})
    options = {key: _plain(value) for key, value in asdict(report.conf).items()}
    return {
        "measures": [measure._asdict() for measure in MEASURES],
        "rows": report.rows,
        "intervals": intervals,
        "differences": differences,
        "utterances": by_utterance(report.found),
        "spaces": list(report.spaces),
        "transport": {"options": options, "options_of": report.conf_of},
        "left_out": report.left_out,
        "provenance": report.provenance._asdict(),
    }


def page(report: Report, folder: Path) -> list[str]:
    """Return the lines of GAP.md, which stands in `folder` beside its figures."""
    hows = sorted({how for space in report.spaces for how in space["own_by"]})
    measured = {row["set"]: row["utterances"] for row in report.rows}
    lines = ["# The gap between speech and text", ""]
    for test, count in measured.items():
        lines.append(
            f"- {test}: {count} of {report.sizes[test]} utterances, by sorted id one in "
            f"{report.sizes[test] / (count + len(report.left_out[test])):.3g}"
        )
    lines += [f"- a frame's own token is found by {' or '.join(hows)}"]
    if len(hows) > 1:
        lines += ["- **not all systems the same way: compare only those that are**"]
    lines += [
        f"- transport for all systems: {_options(report.conf)} (of {report.conf_of})",
        "",
        "Mean over training seeds ± standard deviation. ↑: a smaller gap is a higher value, ↓: a "
        "lower one. Chance is what frames that know nothing of text would give.",
        "",
        markdown(value_table(report.rows)),
        "",
        *(f"- **{m.label}**: {m.explanation} ({m.direction} is better)" for m in MEASURES),
    ]
    if any(told.differences for systems in report.sure.values() for told in systems.values()):
        lines += [
            "",
            f"## Differences from {report.rows[0]['system']}",
            "",
            "Intervals and p are by bootstrap over speakers, seeds averaged; they are there for "
            "measures that are a sum over a sum.",
            "",
            markdown(difference_table(report.sure)),
        ]
    for name, alternative in (("panel", "gap measures"), ("training", "solver during training")):
        if (folder / f"{name}.png").is_file():
            lines += ["", f"![{alternative}]({name}.png)"]
    lines += ["", "## Spaces", "", *map(_space_line, report.spaces)]
    lines += ["", f"Left out: {sum(map(len, report.left_out.values()))} utterances."]
    lines += [f"- {utt}: {why}" for bad in report.left_out.values() for utt, why in bad.items()]
    return [*lines, "", *(f"- {k}: {v}" for k, v in report.provenance._asdict().items())]


def _space_line(space: Mapping[str, Any]) -> str:
    return (
        f"- {space['system']}, {space['seed_folder']}: table {space['table']}, "
        f"{space['rows']} rows of {space['dimension']} dimensions, "
        f"a frame is {1000 * space['hop']:.0f} ms"
    )


def _options(conf: Any) -> str:
    names = ("cost", "epsilon", "max_iters", "relax_speech", "relax_text", "frames_per_token")
    return ", ".join(f"{name} {getattr(conf, name)}" for name in names)


def _plain(value: Any) -> Any:
    """JSON knows no infinity."""
    return "inf" if value == math.inf else value


def rows_of(found: Found) -> list[dict[str, Any]]:
    """Return one row per set, system and training seed."""
    return [
        {
            "set": test,
            "system": system,
            "seed_folder": folder,
            "utterances": len(parts),
            "speech_frames": sum(part.speech_frames for part in parts.values()),
            "values": panel(parts.values()),
            "chance": chance(parts.values()),
        }
        for test, systems in found.items()
        for system, folders in systems.items()
        for folder, parts in folders.items()
    ]


def by_utterance(found: Found) -> list[dict[str, Any]]:
    """Return one row per utterance; CKA of a few tokens means nothing and is left out."""
    return [
        {
            "set": test,
            "system": system,
            "seed_folder": folder,
            "utterance": utt,
            "values": {**panel([part]), "cka": math.nan},
        }
        for test, systems in found.items()
        for system, folders in systems.items()
        for folder, parts in folders.items()
        for utt, part in parts.items()
    ]


def how_sure(
    systems: Mapping[str, Mapping[str, Mapping[str, GapSums]]],
    speakers: Mapping[str, str],
    samples: int = SAMPLES,
) -> dict[str, Sure]:
    """Draw speakers: intervals of the measures that are a sum over a sum, by system.

    Seeds are averaged utterance by utterance. Differences ask for the same denominators, which
    systems with the same frames have.
    """
    sure = {name: Sure({}, {}) for name in systems}
    first = next(iter(systems))
    for measure in fractions(next(iter(next(iter(systems[first].values())).values()))):
        sums = {name: _seed_means(folders, measure) for name, folders in systems.items()}
        base = sums[first]
        for name, (utts, parts, wholes) in sums.items():
            if not wholes.sum():
                continue
            who = [speakers.get(utt, utt) for utt in utts]
            comparable = np.allclose(wholes, base[2])
            errors = np.stack([base[1], parts]) if comparable else parts[None]
            drawn = resample_speakers(errors, wholes, who, samples=samples)
            sure[name].intervals[measure] = rate_interval(drawn, len(errors) - 1)
            if comparable and name != first:
                difference = paired_difference(drawn, 1, 0)
                sure[name].differences[measure] = Difference(difference.absolute, difference.p)
    return sure


def _seed_means(
    folders: Mapping[str, Mapping[str, GapSums]], measure: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    utts = sorted(next(iter(folders.values())))
    pairs = np.array(
        [[fractions(parts[utt])[measure] for utt in utts] for parts in folders.values()]
    )  # (seeds, utterances, 2)
    return utts, pairs[:, :, 0].mean(0), pairs[:, :, 1].mean(0)


def value_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per set and system, mean over seeds and their standard deviation; then chance."""
    table: list[list[str]] = []
    for test in dict.fromkeys(row["set"] for row in rows):
        of_set = [row for row in rows if row["set"] == test]
        for system in dict.fromkeys(row["system"] for row in of_set):
            seeds = [row["values"] for row in of_set if row["system"] == system]
            cells = [_mean([values[m.name] for values in seeds]) for m in MEASURES]
            table.append([test, system, str(len(seeds)), *cells])
        levels = [[row["chance"].get(m.name, math.nan) for row in of_set] for m in MEASURES]
        table.append([test, "chance", NOTHING, *(_mean(level, spread=False) for level in levels)])
    header = ["set", "system", "seeds"]
    arrows = {"higher": "↑", "lower": "↓"}
    return Table([*header, *(f"{m.label} {arrows[m.direction]}" for m in MEASURES)], table, 2)


def difference_table(sure: Mapping[str, Mapping[str, Sure]]) -> Table:
    """Each system minus the first one, where the frames are the same."""
    labels = {m.name: m for m in MEASURES}
    rows = []
    for test, systems in sure.items():
        for system, told in systems.items():
            for name, (interval, p) in told.differences.items():
                bounds = NOTHING
                if not math.isnan(interval.low):
                    bounds = f"[{_signed(interval.low)}, {_signed(interval.high)}]"
                better = {"higher": "↑", "lower": "↓"}[labels[name].direction]
                cells = [_signed(interval.value), bounds, p_value(p)]
                rows.append([test, system, f"{labels[name].label} {better}", *cells])
    header = ["set", "system", "measure", "difference", "95 % interval", "p"]
    return Table(header, rows, text_columns=3)


def panel_values(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, dict[str, dict[str, list[float]]]], dict[str, dict[str, float]]]:
    """Arrange rows for the panel figure: values by measure, set and system, and chance levels."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {m.name: {} for m in MEASURES}
    levels: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for name in values:
            by_system = values[name].setdefault(row["set"], {})
            by_system.setdefault(row["system"], []).append(row["values"][name])
        for name, level in row["chance"].items():
            levels.setdefault(name, {}).setdefault(row["set"], []).append(level)
    means = {
        name: {test: float(np.mean(each)) for test, each in by_set.items()}
        for name, by_set in levels.items()
    }
    return values, means


def _mean(values: Sequence[float], *, spread: bool = True) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return NOTHING
    text = f"{statistics.mean(known):.3f}"
    if spread and len(known) > 1:
        text += f" ± {statistics.stdev(known):.3f}"
    return text.replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
