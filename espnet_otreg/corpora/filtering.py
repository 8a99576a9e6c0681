"""Which utterances a model can train on: not empty, neither too short nor too long.

Tokens against encoder frames are checked where tokens exist, in `stages/shapes.py`.
"""

from typing import NamedTuple

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import Rejected
from espnet_otreg.errors import UserError


class Limits(NamedTuple):
    """The bounds of a set in seconds, both inclusive."""

    min_duration: float = 0.1
    max_duration: float = 20.0


class Filtered(NamedTuple):
    """What stays, and what does not."""

    data: DataDir
    rejected: list[Rejected]


def filter_set(data: DataDir, fs: int, limits: Limits) -> Filtered:
    """Drop utterances without text or outside the limits; `fs` is the rate of the recordings."""
    if "utt2num_samples" not in data.tables:
        raise UserError("utt2num_samples is missing: run stages/format_audio on this set first.")
    if not 0 <= limits.min_duration < limits.max_duration:
        raise UserError(
            f"durations from {limits.min_duration:g} to {limits.max_duration:g} s leave nothing; "
            "expected 0 <= --min_wav_duration < --max_wav_duration"
        )
    rejected = []
    for utt in data.ids:
        seconds = int(data.tables["utt2num_samples"][utt]) / fs
        reason = _reason(data.tables["text"][utt], seconds, limits)
        if reason:
            rejected.append(Rejected(utt, reason))
    dropped = {entry.where for entry in rejected}
    return Filtered(data.subset(utt for utt in data.ids if utt not in dropped), rejected)


def _reason(text: str, seconds: float, limits: Limits) -> str:
    """Return why an utterance is dropped, empty if it stays."""
    if not text:
        return "empty transcript"
    if seconds < limits.min_duration:
        return f"too short: {seconds:.3f} s, the limit is {limits.min_duration:g} s"
    if seconds > limits.max_duration:
        return f"too long: {seconds:.3f} s, the limit is {limits.max_duration:g} s"
    return ""
