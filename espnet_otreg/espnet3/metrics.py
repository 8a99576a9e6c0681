"""Our scoring as a metric of ESPnet3's `measure`; what it writes, `compare` and `report` read.

- metric:
      _target_: espnet_otreg.espnet3.metrics.ErrorRate
      data: data/raw/org
  inputs:
      utterance: dataset:utt_id
      ref: dataset:text
      hyp: text
      speaker: dataset:speaker
      language: dataset:language
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet3.components.metrics.base_metric import BaseMetric
from espnet3.contract import Field

from espnet_otreg.scoring.normalise import get_normaliser
from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import TOTAL, Summary, Utterance, score, summarise

STATES = ("utterance", "ref", "hyp", "speaker", "language")
SCORE = "score.json"


class ErrorRate(BaseMetric):
    """Word and character error rate in %, as every table of this package has them."""

    inputs = (
        Field("utterance", "text"),
        Field("ref", "text"),
        Field("hyp", "text"),
        Field("speaker", "text", optional=True),  # without: every utterance has its own
        Field("language", "text", optional=True),  # without: all is one language, by words
    )
    outputs = tuple(
        Field(name, "number")
        for name in ("error_rate", "WER", "CER", "sentence_error_rate", "empty", "unrelated")
    )

    def __init__(self, normaliser: str = "basic", data: str | Path | None = None) -> None:
        """Choose what is done to both texts first.

        Args:
            normaliser: as of stages/score
            data: folder with a data directory per test set, where pages find the recordings
        """
        get_normaliser(normaliser)  # one that does not exist, or is not installed, is told now
        self.normaliser, self.data = normaliser, None if data is None else Path(data)
        super().__init__()
        for name in STATES:
            self.add_state(name, [], "cat")

    def update(self, **values: Sequence[str]) -> None:
        """Add utterances."""
        for name, rows in values.items():
            getattr(self, name).extend(rows)

    def compute(self) -> dict[str, float]:
        """Score everything added so far."""
        total = summarise(self._scored())[TOTAL]
        return {
            "error_rate": _percent(total.primary.rate),
            "WER": _percent(total.words.rate),
            "CER": _percent(total.characters.rate),
            "sentence_error_rate": _percent(total.sentence_error_rate),
            "empty": _share(total, "empty"),
            "unrelated": _share(total, "unrelated"),
        }

    def write_artifacts(self, test_dir: Path) -> None:
        """Write score.json, and beside it the counts of each utterance."""
        facts: dict[str, Any] = {
            "reference": "" if self.data is None else str(self.data / test_dir.name),
            "hypothesis": str(test_dir / "text.scp"),
            "missing_hypotheses": 0,  # ESPnet3 refuses to score files of different utterances
            "ignored_hypotheses": 0,
        }
        save_score(test_dir / SCORE, self._scored(), self.normaliser, facts)

    def _scored(self) -> list[Utterance]:
        rows = {name: getattr(self, name) for name in STATES}
        tables = {
            name: dict(zip(rows["utterance"], found, strict=True))
            for name, found in rows.items()
            if found
        }
        return score(
            tables.get("ref", {}),
            tables.get("hyp", {}),
            normaliser=self.normaliser,
            speakers=tables.get("speaker"),
            languages=tables.get("language"),
        )


def _percent(share: float | None) -> float:
    """Round; without a word in the references there is no rate, which `score` has refused."""
    return float("nan") if share is None else round(100 * share, 2)


def _share(summary: Summary, mode: str) -> float:
    return _percent(summary.failures[mode] / summary.utterances)
