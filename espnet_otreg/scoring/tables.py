"""Render a comparison as tables: for a terminal, or as Markdown that reads well as text too."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from espnet_otreg.scoring.comparison import MACRO, Comparison, Part, Result, TestedSet
from espnet_otreg.scoring.failures import MODES
from espnet_otreg.scoring.significance import FEW_SPEAKERS, FEWEST_SPEAKERS, Interval
from espnet_otreg.scoring.wer import TOTAL

NOTHING = "–"


class Table(NamedTuple):
    """Cells as text; the first `text_columns` are aligned left, numbers to the right."""

    header: list[str]
    rows: list[list[str]]
    text_columns: int = 1


def markdown(table: Table) -> str:
    """Write a table as padded Markdown."""
    table = _escaped(table)
    widths = _widths(table)
    rule = [
        "-" * width if column < table.text_columns else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    lines = [_padded(table, row, widths) for row in (table.header, *table.rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (lines[0], rule, *lines[1:]))


def _escaped(table: Table) -> Table:
    """Keep what a cell says from ending it."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (table.header, *table.rows)]
    return Table(rows[0], rows[1:], table.text_columns)


def plain(table: Table) -> str:
    """Write a table for a terminal."""
    widths = _widths(table)
    lines = [_padded(table, row, widths) for row in (table.header, *table.rows)]
    rule = ["-" * width for width in widths]
    return "\n".join("  ".join(cells).rstrip() for cells in (lines[0], rule, *lines[1:]))


def main_table(comparison: Comparison) -> Table:
    """One row per system, the test sets side by side, each by language and in total."""
    header = ["system"]
    all_characters = {part.metric for _, _, part in _all_parts(comparison)} == {"CER"}
    for tested in comparison.sets:
        for language, part in _shown_parts(tested):
            unit = "" if part.metric == "WER" or all_characters else f" ({part.metric})"
            header.append(f"{_label(comparison, tested)} {language}{unit}")
    rows = [
        [
            system.name,
            *(
                mean_and_deviation(part.results[index])
                for tested in comparison.sets
                for _, part in _shown_parts(tested)
            ),
        ]
        for index, system in enumerate(comparison.systems)
    ]
    return Table(header, rows)


def detail_table(comparison: Comparison) -> Table:
    """The make-up of each error rate, with its own interval."""
    header = ["test set", "language", "system", "metric", "rate", "95 % interval"]
    header += ["sub", "del", "ins", "CER", "sentence", "empty"]
    rows = []
    for tested, language, part in _all_parts(comparison):
        for system, result in zip(comparison.systems, part.results, strict=True):
            names = [tested.name, language, system.name, part.metric]
            shares = [result.substitutions, result.deletions, result.insertions]
            shares += [result.cer, result.sentence_error_rate, result.empty_share]
            rate = [mean_and_deviation(result), bounds(result.interval)]
            rows.append([*names, *rate, *map(percent, shares)])
    return Table(header, rows, text_columns=4)


def difference_table(comparison: Comparison) -> Table:
    """Each system minus the baseline."""
    header = ["test set", "language", "system", "points", "95 % interval", "relative %"]
    header += ["95 % interval", "p", "runs lower", "speakers"]
    rows = []
    for tested, language, part in _all_parts(comparison):
        for system, result in zip(comparison.systems, part.results, strict=True):
            if result.difference is None:
                continue
            cells = [tested.name, language, system.name]
            for interval in (result.difference.absolute, result.difference.relative):
                cells += [percent(interval.value, "+"), bounds(interval, "+")]
            cells += [p_value(result.difference.p), _runs_lower(result), f"{part.speakers:,}"]
            rows.append(cells)
    return Table(header, rows, text_columns=3)


def failure_table(comparison: Comparison) -> Table:
    """The share of utterances that fail in a way of their own."""
    rows = [
        [tested.name, language, system.name, *(percent(result.failures[mode]) for mode in MODES)]
        for tested, language, part in _all_parts(comparison)
        for system, result in zip(comparison.systems, part.results, strict=True)
    ]
    return Table(["test set", "language", "system", *MODES], rows, text_columns=3)


def speed_table(comparison: Comparison) -> Table | None:
    """Real-time factors, means over the seeds; None where none was recorded."""
    header = ["test set", "system", "real-time factor", "audio", "processes", "device", "input"]
    rows = []
    for tested in comparison.sets:
        for system, timings in zip(comparison.systems, tested.timings, strict=True):
            if not timings:
                continue
            factor = sum(timing.real_time_factor for timing in timings) / len(timings)
            minutes = sum(timing.audio_s for timing in timings) / len(timings) / 60
            processes = sorted({str(timing.processes) for timing in timings})
            facts = [", ".join(processes)]
            facts.append(", ".join(sorted({timing.device for timing in timings})))
            facts.append(", ".join(sorted({timing.input for timing in timings})))
            rows.append([tested.name, system.name, f"{factor:.3g}", f"{minutes:,.1f} min", *facts])
    return Table(header, rows, text_columns=2) if rows else None


def set_table(comparison: Comparison) -> Table:
    """The size of every part of every test set."""
    header = ["test set", "domain", "language", "metric"]
    header += ["utterances", "speakers", "words", "empty references"]
    rows = []
    for tested, language, part in _all_parts(comparison):
        if language == MACRO:  # of the same utterances as the total
            continue
        sizes = [part.utterances, part.speakers, part.words, part.empty_references]
        names = [tested.name, tested.domain, language, part.metric]
        rows.append([*names, *(f"{size:,}" for size in sizes)])
    return Table(header, rows, text_columns=4)


def verdicts(comparison: Comparison) -> list[str]:
    """Say in words what each system does on each test set; gains never without the losses."""
    lines = []
    for index, system in enumerate(comparison.systems[1:], start=1):
        lines.append(f"- **{system.name}** against {comparison.systems[0].name}:")
        for tested in comparison.sets:
            part = tested.parts[TOTAL]
            words = _verdict(part, part.results[index])
            lines.append(f"  - {tested.domain} ({tested.name}): {words}")
    return lines


def percent(share: float, sign: str = "") -> str:
    """Write a share in per cent with two decimals; `sign="+"` shows the sign of gains too."""
    if math.isnan(share):
        return NOTHING
    rounded = round(100 * share, 2) + 0.0  # adding zero turns -0.0 into 0.0
    return f"{rounded:{sign}.2f}".replace("-", "−")


def p_value(p: float) -> str:
    """Write a p-value with the digits it deserves."""
    return NOTHING if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def mean_and_deviation(result: Result) -> str:
    """Write the mean over trained models, and how far they scatter where there are several."""
    text = percent(result.interval.value)
    if result.deviation is None or text == NOTHING:
        return text
    return f"{text} ± {percent(result.deviation)}"


def _verdict(part: Part, result: Result) -> str:
    difference = result.difference
    if difference is None:
        return "the baseline"
    text = f"{difference.verdict}, {percent(difference.absolute.value, '+')}"
    several = len(result.seed_differences) > 1
    runs = f", lower in {_runs_lower(result)} runs" if several else ""
    if part.speakers < FEWEST_SPEAKERS:
        few = "1 speaker is" if part.speakers == 1 else f"{part.speakers} speakers are"
        return f"{text} points{runs}; {few} too few for an interval"
    text += f" {bounds(difference.absolute, '+')} points"
    text += f" ({percent(difference.relative.value, '+')} % relative, p {p_value(difference.p)}"
    text += runs
    if part.speakers < FEW_SPEAKERS:
        text += f"; only {part.speakers} speakers, read with care"
    return text + ")"


def _runs_lower(result: Result) -> str:
    if not result.seed_differences or math.isnan(result.interval.value):
        return NOTHING
    lower = sum(difference < 0 for difference in result.seed_differences)
    return f"{lower} of {len(result.seed_differences)}"


def bounds(interval: Interval, sign: str = "") -> str:
    """Write an interval in brackets."""
    if math.isnan(interval.low):
        return NOTHING
    return f"[{percent(interval.low, sign)}, {percent(interval.high, sign)}]"


def _label(comparison: Comparison, tested: TestedSet) -> str:
    alone = sum(other.domain == tested.domain for other in comparison.sets) == 1
    return tested.domain if alone else f"{tested.domain} {tested.name}"


def _shown_parts(tested: TestedSet) -> list[tuple[str, Part]]:
    """All parts, or the total alone where it only repeats the single language."""
    if tested.macro is None:
        return [(TOTAL, tested.parts[TOTAL])]
    return list(_with_macro(tested))


def _all_parts(comparison: Comparison) -> Iterator[tuple[TestedSet, str, Part]]:
    for tested in comparison.sets:
        for language, part in _with_macro(tested):
            yield tested, language, part


def _with_macro(tested: TestedSet) -> Iterator[tuple[str, Part]]:
    yield from tested.parts.items()
    if tested.macro is not None:
        yield MACRO, tested.macro


def _widths(table: Table) -> list[int]:
    return [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]


def _padded(table: Table, row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column < table.text_columns else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
