"""A last look at a formatted set: what every recording says of itself, against the tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.datadir import SHOWN, DataDir
from espnet_otreg.corpora.record import Rejected, write_rejected
from espnet_otreg.corpora.workers import map_batches
from espnet_otreg.errors import UserError
from espnet_otreg.progress import progress

MISMATCHES = "mismatches.tsv"
WORTH_A_WORKER = 1000  # recordings: one process has looked at them before another has started


class Expected(NamedTuple):
    """What the tables say of a recording."""

    utt_id: str
    path: str
    samples: int


def wrong_recordings(folder: Path, data: DataDir, fs: int, nj: int = 1) -> Iterator[Rejected]:
    """Yield every recording of a formatted set that its tables do not describe, and how it differs.

    Only headers are read: a recording of the right length may still hold noise.
    """
    lengths = data.tables["utt2num_samples"]
    jobs = (Expected(utt, path, int(lengths[utt])) for utt, path in data.tables["wav.scp"].items())
    workers = min(nj, 1 + len(lengths) // WORTH_A_WORKER)
    with progress(f"check {folder.name}", "clip", len(lengths)) as bar:
        for reasons in map_batches(check_batch, jobs, fs, workers):
            bar.update(len(reasons))
            yield from (Rejected(utt, reason) for utt, reason in reasons if reason)


def check_batch(batch: Sequence[Expected], fs: int) -> list[tuple[str, str]]:
    """Say what is wrong with each of a few recordings, empty if nothing is; runs in a worker."""
    return [(expected.utt_id, _fault(expected, fs)) for expected in batch]


def refuse_mismatches(folder: Path, problems: Sequence[Rejected]) -> None:
    """List all problems in the set's folder and stop, or see to it that no old list is there."""
    path = folder / MISMATCHES
    if not problems:
        path.unlink(missing_ok=True)
        return
    write_rejected(path, problems)
    shown = [f"{where}: {reason}" for where, reason in problems[:SHOWN]]
    listed = "\n".join(f"  {line}" for line in [*shown, *["..."] * (len(problems) > SHOWN)])
    raise UserError(
        f"{folder}: {len(problems)} recording(s) or line(s) of the manifest are not what the "
        f"tables say; all are in {path}. Run the same command again: it makes those listed anew. "
        f"Should that not help, remove {folder} and look whether the disk is sound.\n{listed}"
    )


def _fault(expected: Expected, fs: int) -> str:
    import soundfile  # here, so that a run that finds all done starts fast

    from espnet_otreg.corpora.audio import UNOPENED

    try:
        info = soundfile.info(expected.path)
    except (soundfile.SoundFileError, OSError, *UNOPENED) as error:
        return f"unreadable: {error}"
    pairs = {
        "sampling rate": (info.samplerate, fs),
        "channels": (info.channels, 1),
        "samples": (info.frames, expected.samples),
    }
    wrong = [f"{what} {is_} instead of {due}" for what, (is_, due) in pairs.items() if is_ != due]
    return f"wrong {'; '.join(wrong)}: {expected.path}" if wrong else ""
