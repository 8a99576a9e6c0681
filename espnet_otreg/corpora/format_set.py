"""All recordings of a set to mono FLAC or WAV at one rate: in parallel and resumable.

A journal in the output folder records every clip when its batch is done. A second run takes from it
what still holds (same settings, same source, file of the recorded size) and does the rest. Audio is
held one clip per worker at a time; of the others only table lines are in memory.
"""

import os
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.journal import Journal, Outcome
from espnet_otreg.corpora.record import Rejected, split_span
from espnet_otreg.corpora.workers import map_batches
from espnet_otreg.errors import UserError
from espnet_otreg.files import writing
from espnet_otreg.progress import progress

FORMATS = ("flac", "wav")
JOURNAL = ".journal.jsonl"


class Settings(NamedTuple):
    """What decides the content of an output file."""

    fs: int = 16000
    audio_format: str = "flac"
    speed: float = 1.0


class Job(NamedTuple):
    """One recording to make."""

    utt_id: str
    source: str
    target: str  # not a Path: there are many, and a second run looks at each


class Formatted(NamedTuple):
    """The finished set."""

    data: DataDir  # not yet saved
    rejected: list[Rejected]
    notes: Counter[str]  # utterances per harmless change
    reused: int  # taken over from an earlier run


def target_path(output: Path, utt_id: str, audio_format: str) -> str:
    """Spread the files over 256 folders, so that none holds a million."""
    spread = zlib.crc32(utt_id.encode()) & 0xFF
    return f"{output}/audio/{spread:02x}/{utt_id}.{audio_format}"


def renamed(name: str, speed: float) -> str:
    """Name a speed-perturbed utterance or speaker as ESPnet does."""
    return name if speed == 1.0 else f"sp{speed:g}-{name}"


def format_set(data: DataDir, output: Path, settings: Settings, nj: int = 1) -> Formatted:
    """Make the audio files of a set and return its tables."""
    jobs = _jobs(data, output, settings)
    journal = Journal(output / JOURNAL, settings._asdict())
    samples: dict[str, int] = {}
    rejected: list[Rejected] = []
    notes: Counter[str] = Counter()
    done = journal.read()
    for job in jobs:
        earlier = done.get(job.utt_id)
        if earlier and _still_holds(earlier, job):
            samples[job.utt_id] = earlier.samples
            notes.update(earlier.notes)
    del done
    reused = len(samples)
    left = [job for job in jobs if job.utt_id not in samples]
    if left:  # a killed run may have left files that it was writing
        for unfinished in (output / "audio").glob("*/.*.tmp"):
            unfinished.unlink()
    with progress(f"format {output.name}", "clip", len(jobs), initial=reused) as bar:
        for outcomes in map_batches(format_batch, left, settings, min(nj, len(left)) or 1):
            journal.append(outcomes)
            bar.update(len(outcomes))
            for outcome in outcomes:
                notes.update(outcome.notes)
                if outcome.reason:
                    rejected.append(Rejected(outcome.utt_id, outcome.reason))
                else:
                    samples[outcome.utt_id] = outcome.samples
    return Formatted(_tables(data, output, settings, samples), rejected, notes, reused)


def forget(output: Path, settings: Settings, wrong: Iterable[Rejected]) -> None:
    """Note that recordings turned out wrong: the next run makes them anew."""
    outcomes = [Outcome(utt, "", "", 0, 0, [], reason) for utt, reason in wrong]
    Journal(output / JOURNAL, settings._asdict()).append(outcomes)


def format_batch(jobs: Sequence[Job], settings: Settings) -> list[Outcome]:
    """Make a few files; runs in a worker."""
    return [_format_one(job, settings) for job in jobs]


def _jobs(data: DataDir, output: Path, settings: Settings) -> list[Job]:
    """List the recordings in order of their ids."""
    jobs = []
    for utt, source in sorted(data.tables["wav.scp"].items()):
        name = renamed(utt, settings.speed)
        if "/" in utt:
            raise UserError(f"wav.scp: utterance id {utt!r} holds '/', which no file name can.")
        if source.endswith("|"):
            raise UserError(f"wav.scp: {utt} is a command, {source!r}; recordings are needed.")
        jobs.append(Job(name, source, target_path(output, name, settings.audio_format)))
    return jobs


def _format_one(job: Job, settings: Settings) -> Outcome:
    from espnet_otreg.corpora import audio  # here, so that a run that finds all done starts fast

    stamp = _stamp(job.source)
    try:
        clip = audio.load_clip(Path(job.source), settings.fs, settings.speed)
    except audio.BadAudio as error:
        return Outcome(job.utt_id, job.source, stamp, 0, 0, [], str(error))
    content = audio.encode(clip.samples, settings.fs, settings.audio_format)
    with writing(Path(job.target), "wb") as stream:
        stream.write(content)
    size, samples = len(content), len(clip.samples)
    return Outcome(job.utt_id, job.source, stamp, size, samples, list(clip.notes), "")


def _stamp(source: str) -> str:
    """Identify the state of a source, empty if it is not there."""
    try:
        stat = os.stat(split_span(source)[0])
    except OSError:
        return ""
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _still_holds(earlier: Outcome, job: Job) -> bool:
    """Whether the journal's file can stand; a source deleted since does not matter."""
    if earlier.reason or earlier.source != job.source:
        return False
    if _stamp(job.source) not in (earlier.stamp, ""):
        return False
    try:
        return os.stat(job.target).st_size == earlier.size
    except OSError:
        return False


def _tables(data: DataDir, output: Path, settings: Settings, samples: dict[str, int]) -> DataDir:
    """Carry every table over to the new names, recordings and lengths."""
    speed = settings.speed
    kept = {utt: renamed(utt, speed) for utt in data.ids if renamed(utt, speed) in samples}
    tables = dict(data.renamed(kept).tables)
    tables["utt2spk"] = {utt: renamed(who, speed) for utt, who in tables["utt2spk"].items()}
    tables["wav.scp"] = {
        utt: target_path(output, utt, settings.audio_format) for utt in kept.values()
    }
    tables["utt2num_samples"] = {utt: str(samples[utt]) for utt in kept.values()}
    return DataDir(tables)
