"""What the page's browser shows of every utterance, as plain data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table
from espnet_otreg.scoring.comparison import Comparison
from espnet_otreg.scoring.edits import mark_differences
from espnet_otreg.scoring.failures import failure_modes
from espnet_otreg.scoring.results import SCORE_FILE, decoding_folder
from espnet_otreg.scoring.score_file import load_score
from espnet_otreg.scoring.wer import Utterance


class Browsed(NamedTuple):
    """Every utterance of every test set."""

    entries: list[dict[str, Any]]  # see `_entry`
    audio: dict[str, Path]  # key of an entry -> recording, where it is known
    notes: list[str]  # what could not be shown, and why


def collect_utterances(comparison: Comparison, metric: str, data: Path | None) -> Browsed:
    """Read the scores of all systems; recordings come from `data`/<set>, or where scoring was."""
    out = Browsed([], {}, [])
    for position, tested in enumerate(comparison.sets):
        paths = [
            [
                decoding_folder(system, folder, comparison.decode_tag, tested.name) / SCORE_FILE
                for folder in system.folders
            ]
            for system in comparison.systems
        ]
        scores = [[load_score(path).utterances for path in group] for group in paths]
        recordings = _recordings(paths[0][0], data, tested.name, out.notes)
        for row, utterance in enumerate(scores[0][0]):
            key = f"{tested.name}/{utterance.name}"
            heard = [[seed[row] for seed in group] for group in scores]
            out.entries.append({"k": key, "s": position, **_entry(utterance, heard, metric)})
            if utterance.name in recordings:
                out.audio[key] = recordings[utterance.name]
    lacking = len(out.entries) - len(out.audio)
    if out.audio and lacking:
        out.notes.append(f"{lacking} utterances have no recording in wav.scp")
    return out


def _entry(
    utterance: Utterance, heard: Sequence[Sequence[Utterance]], metric: str
) -> dict[str, Any]:
    """Short keys, as there are thousands: id, language, speaker, reference, hypotheses."""
    return {
        "i": utterance.name,
        "l": utterance.language,
        "p": utterance.speaker,
        "r": utterance.reference,
        "n": utterance.primary(metric).reference,
        "h": [[_hypothesis(seed, metric) for seed in group] for group in heard],
    }


def _hypothesis(utterance: Utterance, metric: str) -> dict[str, Any]:
    """Errors, their kinds, failure modes, and the differences from the reference."""
    counts = utterance.primary(metric)
    texts = (utterance.reference, utterance.hypothesis, utterance.language)
    return {
        "e": counts.errors,
        "c": [counts.substitutions, counts.deletions, counts.insertions],
        "m": list(failure_modes(*texts)),
        "t": mark_differences(*texts),
    }


def _recordings(score: Path, data: Path | None, set_name: str, notes: list[str]) -> dict[str, Path]:
    """Find the recordings of a test set by its wav.scp."""
    reference = read_json(score).get("reference", "")
    if not isinstance(reference, str):
        raise UserError(f"{score}: reference should be a folder, not {reference!r}; score again")
    folder = data / set_name if data is not None else Path(reference)
    table = folder / "wav.scp"
    if data is not None and not table.is_file():
        raise UserError(f"{table} does not exist: --data should hold a data directory per test set")
    if not table.is_file():
        notes.append(f"no recordings of {set_name}: {table} is not there; name --data")
        return {}
    return {name: Path(value) for name, value in read_table(table).items()}
