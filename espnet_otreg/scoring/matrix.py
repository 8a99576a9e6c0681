"""What was trained on, against what was tested on, by language: one table to read it across.

Rows are systems with their training corpora, columns test sets: pooled over all words (micro), as
the mean over languages (macro), and language by language. A cell is in-domain, marked †, where the
test set is called after one of the training corpora, such as `fleurs_test` after `fleurs`.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import MACRO, Comparison, Part, TestedSet
from espnet_otreg.scoring.tables import NOTHING, Table, bounds, markdown, mean_and_deviation
from espnet_otreg.scoring.wer import TOTAL

MICRO = "micro"
IN_DOMAIN = "†"

_READING = """\
Error rate in % with its 95 % interval, over speakers and what else a system was trained several
times with; of several trained models the mean ± standard deviation. micro: errors over words
(characters where the metric is CER), all languages pooled; macro: mean over languages. † trained
on this corpus."""


class Matrix(NamedTuple):
    """A comparison, and what each of its systems was trained on."""

    comparison: Comparison
    trained_on: tuple[str, ...]  # by system; corpora joined by +


def train_test_matrix(comparison: Comparison, trained_on: Sequence[str]) -> Matrix:
    """Join a comparison with the training corpora of its systems."""
    if len(trained_on) != len(comparison.systems):
        names = ", ".join(system.name for system in comparison.systems)
        raise UserError(
            f"--trained_on names {len(trained_on)} training corpora for {len(comparison.systems)} "
            f"systems ({names}); give one for each, several joined as covost2+fleurs"
        )
    return Matrix(comparison, tuple(trained_on))


def is_in_domain(trained_on: str, test_set: str) -> bool:
    """Tell whether a test set is called after one of the training corpora."""
    return any(re.match(rf"{re.escape(corpus)}(_|$)", test_set) for corpus in trained_on.split("+"))


def overview(matrix: Matrix) -> Table:
    """Micro and macro averages of all test sets, a row per system."""
    columns = []
    for tested in matrix.comparison.sets:
        columns.append((f"{tested.name} {MICRO}", tested, tested.parts[TOTAL]))
        if tested.macro is not None:
            columns.append((f"{tested.name} {MACRO}", tested, tested.macro))
    return _table(matrix, columns)


def by_language(matrix: Matrix, tested: TestedSet) -> Table:
    """One test set, a column per language."""
    columns = [(name, tested, part) for name, part in tested.parts.items() if name != TOTAL]
    return _table(matrix, columns)


def matrix_section(matrix: Matrix) -> str:
    """Write the matrix as a section of a page."""
    sections = ["## Trained on, tested on", _READING, markdown(overview(matrix))]
    for tested in matrix.comparison.sets:
        if tested.macro is not None:
            sections += [f"{tested.name}, by language:", markdown(by_language(matrix, tested))]
    return "\n\n".join(sections)


def matrix_json(matrix: Matrix) -> list[dict[str, Any]]:
    """List the cells: one per system, test set and language, with micro and macro among these."""
    cells = []
    for index, system in enumerate(matrix.comparison.systems):
        trained_on = matrix.trained_on[index]
        for tested in matrix.comparison.sets:
            parts = {name: part for name, part in tested.parts.items() if name != TOTAL}
            parts[MICRO] = tested.parts[TOTAL]
            if tested.macro is not None:
                parts[MACRO] = tested.macro
            for language, part in parts.items():
                cells.append(
                    {
                        "system": system.name,
                        "trained_on": trained_on.split("+"),
                        "test_set": tested.name,
                        "in_domain": is_in_domain(trained_on, tested.name),
                        "language": language,
                        "metric": part.metric,
                        **part.results[index].interval._asdict(),
                    }
                )
    return cells


def _table(matrix: Matrix, columns: Sequence[tuple[str, TestedSet, Part]]) -> Table:
    header = ["trained on", "system"]
    header += [name if p.metric == "WER" else f"{name} ({p.metric})" for name, _, p in columns]
    rows = []
    for index, system in enumerate(matrix.comparison.systems):
        trained_on = matrix.trained_on[index]
        cells = [trained_on, system.name]
        for _, tested, part in columns:
            result = part.results[index]
            interval = bounds(result.interval)
            cell = mean_and_deviation(result) + (f" {interval}" if interval != NOTHING else "")
            inside = is_in_domain(trained_on, tested.name)
            cells.append(f"{cell} {IN_DOMAIN}" if inside else cell)
        rows.append(cells)
    return Table(header, rows, text_columns=2)
