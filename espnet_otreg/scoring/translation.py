"""BLEU and chrF by sacrebleu, with its paired bootstrap against a baseline."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError

TOKENISERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}  # sacrebleu's advice; others: 13a
SAMPLES = 1000


class Judged(NamedTuple):
    """One system on one test set, seed by seed."""

    name: str
    bleu: tuple[float, ...]
    chrf: tuple[float, ...]
    bleu_p: tuple[float, ...]  # against the baseline's same seed; none for the baseline
    chrf_p: tuple[float, ...]


def import_sacrebleu() -> None:
    """Import it, or say how to install it."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"translations are scored by sacrebleu ({error}): pip install "
            "'espnet_otreg[translation]'"
        ) from error


def judge(
    systems: Sequence[tuple[str, Sequence[Sequence[str]]]],
    references: Sequence[str],
    language: str,
    samples: int = SAMPLES,
) -> tuple[list[Judged], dict[str, str]]:
    """Judge systems, each a name and one list of translations per seed, the baseline first.

    A seed is paired with the baseline's same seed, or with its first where there is none. Returns
    sacrebleu's signatures too, without which its numbers say little.
    """
    import_sacrebleu()
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)  # it tells every draw
    baseline = systems[0][1]
    judged = []
    signatures: dict[str, str] = {}
    for name, seeds in systems:
        columns: dict[str, list[float]] = {key: [] for key in Judged._fields[1:]}
        for seed, hypotheses in enumerate(seeds):
            partner = baseline[seed] if seed < len(baseline) else baseline[0]
            signatures, results = _pair(partner, hypotheses, references, language, samples)
            for key, (score, p) in results.items():
                columns[key].append(score)
                if seeds is not baseline:
                    columns[f"{key}_p"].append(p)
        judged.append(Judged(name, **{key: tuple(values) for key, values in columns.items()}))
    return judged, signatures


def _pair(
    baseline: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    language: str,
    samples: int,
) -> tuple[dict[str, str], dict[str, tuple[float, float]]]:
    """Return sacrebleu's signatures, and of each metric the system's score and p."""
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    metrics = {"bleu": BLEU(tokenize=TOKENISERS.get(language, "13a")), "chrf": CHRF()}
    same = list(baseline) == list(hypotheses)  # of which sacrebleu says the smallest p there is
    rows: list[tuple[str, Sequence[str]]] = [("baseline", baseline), ("system", hypotheses)]
    signatures, scores = PairedTest(rows, metrics, [list(references)], "bs", samples)()
    found: dict[str, Any] = {name.lower()[:4]: scores[name][1] for name in signatures}  # chrF2
    told = {name: signature.format() for name, signature in signatures.items()}
    return told, {
        key: (float(row.score), 1.0 if same else float(row.p_value)) for key, row in found.items()
    }
