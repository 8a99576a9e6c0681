"""Recordings to transcribe: found in folders, named, and read whatever the model's rate."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet_otreg.corpora.audio import FULL_SCALE, load_clip
from espnet_otreg.errors import UserError

ENDINGS = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".oga", ".m4a", ".mp4", ".aac", ".webm"),
    *(".sph", ".aif", ".aiff", ".au", ".caf", ".w64", ".wma", ".amr", ".3gp", ".mkv"),
)  # that a folder is searched for; those which no decoder opens are listed as rejects


class Recording(NamedTuple):
    """A file, and what it is called in the output."""

    path: Path
    name: str  # a relative path without ending

    @property
    def stamp(self) -> str:
        """Tell this content from another: by size and time."""
        status = self.path.stat()
        return f"{status.st_size} {status.st_mtime_ns}"


class Found(NamedTuple):
    """What the arguments of a command name."""

    recordings: list[Recording]
    others: int  # files in folders that are no recordings by their names


def find(given: Sequence[str | Path]) -> Found:
    """List files, and what folders hold at any depth, in the order given and then of names."""
    rows: list[tuple[Path, Path]] = []  # a file, and the folder that its name counts from
    others = 0
    for each in map(Path, given):
        if each.is_dir():
            inside = sorted(path for path in each.rglob("*") if path.is_file())
            heard = [path for path in inside if path.suffix.lower() in ENDINGS]
            others += len(inside) - len(heard)
            rows += [(path, each) for path in heard]
        elif each.exists():
            rows.append((each, each.parent))
        else:
            raise UserError(f"{each} does not exist: give recordings, or folders of them")
    rows = list(dict(rows).items())  # a file that was named twice
    if not rows:
        raise UserError(
            f"{' '.join(map(str, given))} holds no recording ({', '.join(ENDINGS[:6])}, ...)"
        )
    return Found([Recording(p, n) for (p, _), n in zip(rows, _names(rows), strict=True)], others)


def _names(rows: Sequence[tuple[Path, Path]]) -> list[str]:
    """Name each file as shortly as no other is named."""
    ways: list[list[str]] = []
    for path, home in rows:
        inside = path.relative_to(home)
        whole = path.resolve()
        below = Path(home.resolve().name) / inside
        ways.append(
            [str(way.with_suffix("")) for way in (inside, below)]
            + [str(inside), str(below), str(whole.relative_to(whole.anchor))]
        )
    counts = Counter(name for names in ways for name in dict.fromkeys(names))
    return [next((n for n in names if counts[n] == 1), names[-1]) for names in ways]


def read(path: Path, rate: int) -> np.ndarray:
    """Return samples (N,) at a rate; raises corpora.audio.BadAudio with the reason."""
    return load_clip(path, rate).samples.astype(np.float32) / FULL_SCALE


def one_line(reasons: Iterable[str]) -> str:
    """Count reasons by their category."""
    counts = Counter(reason.partition(":")[0] for reason in reasons)
    return ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
