"""How much error rates owe to the normaliser: the same hypotheses scored under several."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from espnet_otreg.scoring.normalise import applied
from espnet_otreg.scoring.tables import Table, markdown, percent
from espnet_otreg.scoring.wer import TOTAL, Summary, score, summarise


class Sensitivity(NamedTuple):
    """Summaries by normaliser, system and language; the last language is the total."""

    summaries: dict[str, dict[str, dict[str, Summary]]]

    @property
    def systems(self) -> list[str]:
        """Their names, in the order given."""
        return list(next(iter(self.summaries.values())))

    @property
    def languages(self) -> list[str]:
        """Their codes, and then the total."""
        return list(next(iter(next(iter(self.summaries.values())).values())))

    def rate(self, normaliser: str, system: str, language: str) -> float:
        """Errors per reference unit; nan without any reference."""
        rate = self.summaries[normaliser][system][language].primary.rate
        return float("nan") if rate is None else rate

    def order(self, normaliser: str, language: str) -> list[str]:
        """List the systems from the fewest errors to the most; equal ones as they were given."""
        return sorted(self.systems, key=lambda system: self.rate(normaliser, system, language))

    def rank(self, normaliser: str, system: str, language: str) -> int:
        """Count the systems with fewer errors, and one; equal ones share a rank."""
        rate = self.rate(normaliser, system, language)
        return 1 + sum(self.rate(normaliser, other, language) < rate for other in self.systems)

    def order_changes(self) -> list[str]:
        """Name the languages, and the total, in which two normalisers reverse some pair."""
        return [language for language in self.languages if self._reversed(language)]

    def _reversed(self, language: str) -> bool:
        rates = [
            {system: self.rate(normaliser, system, language) for system in self.systems}
            for normaliser in self.summaries
        ]
        return any(
            any(by[one] < by[other] for by in rates) and any(by[one] > by[other] for by in rates)
            for one, other in combinations(self.systems, 2)
        )


def sensitivity(
    references: Mapping[str, str],
    systems: Mapping[str, Mapping[str, str]],
    normalisers: Sequence[str],
    *,
    speakers: Mapping[str, str] | None = None,
    languages: Mapping[str, str] | None = None,
) -> Sensitivity:
    """Score each system under each normaliser."""
    tables = {"speakers": speakers, "languages": languages}
    return Sensitivity(
        {
            normaliser: {
                system: summarise(score(references, hypotheses, normaliser=normaliser, **tables))
                for system, hypotheses in systems.items()
            }
            for normaliser in normalisers
        }
    )


def sensitivity_table(found: Sensitivity) -> Table:
    """One row per system and normaliser; with several systems the rank stands after the rate."""
    first = found.summaries[next(iter(found.summaries))][found.systems[0]]
    languages = found.languages if len(found.languages) > 2 else [TOTAL]
    header = ["system", "normaliser", *(f"{name} {first[name].metric}" for name in languages)]
    rows = []
    for system in found.systems:
        for normaliser in found.summaries:
            cells = []
            for language in languages:
                rank = found.rank(normaliser, system, language)
                cell = percent(found.rate(normaliser, system, language))
                cells.append(f"{cell} ({rank})" if len(found.systems) > 1 else cell)
            rows.append([system, normaliser, *cells])
    return Table(header, rows, text_columns=2)


def sensitivity_notes(found: Sensitivity) -> list[str]:
    """Say what the table means for these languages and for the order of the systems."""
    notes = []
    others = [
        language
        for language in found.languages
        if language != TOTAL and applied("whisper_english", language) != "whisper_english"
    ]
    if "whisper_english" in found.summaries and others:
        notes.append(
            f"whisper_english is for English: {', '.join(others)} got whisper_basic in its place."
        )
    if len(found.systems) > 1 and len(found.summaries) > 1:
        changed = found.order_changes()
        notes.append(
            f"The order of the systems depends on the normaliser in: {', '.join(changed)}."
            if changed
            else "No normaliser reverses the order of two systems."
        )
    return notes


def sensitivity_document(found: Sensitivity, reference: str, command: str) -> str:
    """Write the table as a Markdown page."""
    ranked = "; the rank of the system in brackets" if len(found.systems) > 1 else ""
    sections = [
        "# Sensitivity to the normaliser",
        f"Error rate in % on {reference}, of the same hypotheses under each normaliser{ranked}.",
        markdown(sensitivity_table(found)),
        *sensitivity_notes(found),
        f"```sh\n{command}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def sensitivity_json(found: Sensitivity) -> dict[str, Any]:
    """Hold the rates as shares, at full precision."""
    rates = [
        {
            "normaliser": normaliser,
            "applied": normaliser if language == TOTAL else applied(normaliser, language),
            "system": system,
            "language": language,
            "metric": summary.metric,
            "error_rate": summary.primary.rate,
            "wer": summary.words.rate,
            "cer": summary.characters.rate,
        }
        for normaliser, systems in found.summaries.items()
        for system, summaries in systems.items()
        for language, summary in summaries.items()
    ]
    return {
        "rates": rates,
        "order": {
            normaliser: {
                language: found.order(normaliser, language) for language in found.languages
            }
            for normaliser in found.summaries
        },
        "order_changes": found.order_changes(),
    }
