"""How fast decoding was: seconds of processing per second of audio (the real-time factor).

The commands that decode leave the seconds of every utterance in `1best_recog/seconds`, loading of
the model excluded; for stock ESPnet's beam search they are read from the times in its log. Seconds
are those of a process, added up over all processes: with as many processes as there are, all of
the audio took about that divided by their number.
"""

import logging
import math
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table, write_json

TIMING_FILE, SECONDS_TABLE, CONDITIONS_FILE = "timing.json", "seconds", "conditions.json"
LONGEST = 1e12  # seconds, more than all recordings there are
RECORDINGS, FRAMES = "recordings", "cached frames"  # what the model was given

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \(\w+:\d+\) \w+: (speech length: )?")


class Timing(NamedTuple):
    """What decoding a test set took."""

    audio_s: float
    decoding_s: float  # added up over the processes
    utterances: int
    device: str
    processes: int
    input: str  # recordings, or cached frames: then without the time of their encoder

    @property
    def real_time_factor(self) -> float:
        """Seconds of a process per second of audio."""
        return self.decoding_s / self.audio_s


def read_timing(folder: Path) -> Timing | None:
    """Read a decoded set's timing; None where it was not recorded."""
    path = folder / TIMING_FILE
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        timing = Timing(**{field: content[field] for field in Timing._fields})
        if not 0 < timing.audio_s < LONGEST or not 0 <= timing.decoding_s < LONGEST:
            raise ValueError(f"{timing.decoding_s} s for {timing.audio_s} s of audio")
        if not isinstance(timing.device, str) or not isinstance(timing.input, str):
            raise TypeError(f"device and input should be texts: {timing.device}, {timing.input}")
        if not all(type(n) is int for n in (timing.utterances, timing.processes)):
            raise TypeError(f"not numbers: {timing.utterances}, {timing.processes}")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no record of decode_sets ({error!r}); remove it") from error
    return timing


def write_conditions(part: Path, device: str, processes: int, given: str) -> None:
    """Note how a part of the utterances is decoded, before it is."""
    content = {"device": device, "processes": processes, "input": given}
    write_json(part / CONDITIONS_FILE, content)


def record_timing(data: Path, output: Path, parts: Sequence[Path]) -> None:
    """Add up the seconds of a set's utterances, whichever run decoded the part that they are in."""
    output.joinpath(TIMING_FILE).unlink(missing_ok=True)
    audio = read_table(data / "wav.scp")
    seconds: dict[str, float] = {}
    conditions = []
    for part in parts:
        found = part_seconds(part)
        mine = {utt: found[utt] for utt in audio if utt in found}
        if mine and (part / CONDITIONS_FILE).is_file():
            seconds |= mine
            conditions.append(read_json(part / CONDITIONS_FILE))
    length = _audio_seconds(audio) if len(seconds) == len(audio) else None
    if not length:
        logging.info(
            "%s: no real-time factor, since not every utterance's time is known", data.name
        )
        return
    timing = Timing(
        audio_s=round(length, 3),
        decoding_s=round(sum(seconds.values()), 3),
        utterances=len(audio),
        device=", ".join(sorted({c["device"] for c in conditions})),
        processes=max(c["processes"] for c in conditions),
        input=", ".join(sorted({c["input"] for c in conditions})),
    )
    write_json(
        output / TIMING_FILE, {**timing._asdict(), "real_time_factor": timing.real_time_factor}
    )


def part_seconds(part: Path) -> dict[str, float]:
    """Look up the seconds of each utterance of a part; empty where they are not known."""
    table = part / "1best_recog" / SECONDS_TABLE
    if table.is_file():
        return {utt: _seconds(table, utt, value) for utt, value in read_table(table).items()}
    keys, log = part / "keys", part / "log"
    if not keys.is_file() or not log.is_file():
        return {}
    return seconds_in_log(
        log.read_text(encoding="utf-8", errors="replace"), keys.read_text().split()
    )


def seconds_in_log(log: str, utterances: Sequence[str]) -> dict[str, float]:
    """Read stock ESPnet's log, where each utterance in turn begins with its length.

    An utterance lasts until the next begins, the last one until the last line with a time.
    """
    stamps = [match for line in log.splitlines() if (match := _STAMP.match(line))]
    try:
        times = [datetime.strptime(at[1], "%Y-%m-%d %H:%M:%S,%f").timestamp() for at in stamps]
    except (ValueError, OverflowError):  # no time of any clock, such as the 45th day of a month
        return {}
    starts = [time for time, stamp in zip(times, stamps, strict=True) if stamp[2]]
    if len(starts) != len(utterances) or not starts:
        return {}
    ends = [*starts[1:], times[-1]]
    return {utt: end - start for utt, start, end in zip(utterances, starts, ends, strict=True)}


def _seconds(table: Path, utt: str, value: str) -> float:
    try:
        seconds = float(value)
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{value} s")
    except ValueError as error:
        raise UserError(
            f"{table}: {utt} has no number of seconds ({error}); decode again"
        ) from error
    return seconds


def _audio_seconds(audio: dict[str, str]) -> float | None:
    import soundfile

    from espnet_otreg.corpora.audio import UNOPENED

    try:
        return sum(soundfile.info(path).duration for path in audio.values())
    except (soundfile.LibsndfileError, OSError, *UNOPENED) as error:
        logging.info("the recordings cannot be measured: %s", error)
        return None
