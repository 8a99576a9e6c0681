"""A folder of transcripts that grows as they come; the same command again goes on from there.

`transcripts.jsonl` holds every finished recording, whatever format was asked for: a line each. So
what is done is skipped, and another format is written from it without decoding anything anew.
"""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, remove_half_written, write_json, write_lines, writing
from espnet_otreg.transcribe import Transcript
from espnet_otreg.transcribe.formats import FORMATS
from espnet_otreg.transcribe.recordings import Recording

JOURNAL, SETTINGS, REJECTED = "transcripts.jsonl", "settings.json", "rejected.tsv"
LOCK = ".lock"
TOGETHER = "transcripts"  # the file of a format that holds all recordings


class Outputs:
    """The folder, owned by this process while it is open.

    Args:
        folder: what --output names
        kind: of FORMATS
        settings: that transcripts depend on; those of other settings are not mixed with these
    """

    def __init__(self, folder: Path, kind: str, settings: Mapping[str, Any]) -> None:
        self.folder, self.format, self.settings = folder, FORMATS[kind], dict(settings)
        self.rejected: list[tuple[Recording, str]] = []
        self._done: dict[str, Transcript] = {}
        self._names: dict[str, str] = {}  # path -> name, of this run
        self._journal: IO[Any] | None = None

    def __enter__(self) -> "Outputs":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / LOCK, "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another command writes in {self.folder}: wait for it") from error
        remove_half_written(self.folder)
        self._check_settings()
        self._done = self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._journal is not None:
            self._journal.close()
            self._finish()
        (self.folder / LOCK).unlink(missing_ok=True)
        self._lock.close()

    def left(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Return the recordings that are not done, and write those that are in this format."""
        self._names = {os.path.abspath(one.path): one.name for one in recordings}
        missing = []
        for one in recordings:
            path = os.path.abspath(one.path)
            done = self._done.get(path)
            if done is not None and one.path.is_file() and done.stamp == one.stamp:
                if not self._file(one.name).exists():
                    self._write_file(one.name, done)
                continue
            self._done.pop(path, None)
            missing.append(one)
        # without what a crash cut off, and what belongs to recordings that were replaced
        rows = [json.dumps(done.row(), ensure_ascii=False) for done in self._done.values()]
        write_lines(self.folder / JOURNAL, rows)
        self._journal = open(self.folder / JOURNAL, "a", encoding="utf-8")  # noqa: SIM115
        return missing

    def write(self, recording: Recording, transcript: Transcript) -> None:
        """Write one, first its own file, then the line that says it is done."""
        assert self._journal is not None
        self._write_file(recording.name, transcript)
        self._journal.write(json.dumps(transcript.row(), ensure_ascii=False) + "\n")
        self._journal.flush()
        self._done[os.path.abspath(recording.path)] = transcript

    def reject(self, recording: Recording, reason: str) -> None:
        """List one that has no transcript; it is tried again next time."""
        self.rejected.append((recording, reason))

    def _file(self, name: str) -> Path:
        if self.format.together:
            return self.folder / JOURNAL
        return self.folder / f"{name}{self.format.ending}"

    def _write_file(self, name: str, transcript: Transcript) -> None:
        if not self.format.together:
            with writing(self._file(name)) as stream:
                stream.write(self.format.render(name, transcript))

    def _finish(self) -> None:
        if self.format.together and self.format.ending != Path(JOURNAL).suffix:
            with writing(self.folder / f"{TOGETHER}{self.format.ending}") as stream:
                for path, name in self._names.items():
                    if path in self._done:
                        stream.write(self.format.render(name, self._done[path]))
        listed = self.folder / REJECTED
        if self.rejected:
            write_lines(listed, [f"{one.path}\t{reason}" for one, reason in self.rejected])
        else:
            listed.unlink(missing_ok=True)

    def _check_settings(self) -> None:
        path = self.folder / SETTINGS
        if not path.is_file() or not (self.folder / JOURNAL).is_file():
            write_json(path, self.settings)
            return
        before = read_json(path)
        other = [key for key in self.settings if before.get(key) != self.settings[key]]
        if other:
            raise UserError(
                f"{self.folder} holds transcripts made with {other[0]} {before.get(other[0])!r}, "
                f"and now it is {self.settings[other[0]]!r}: give another --output"
            )

    def _read(self) -> dict[str, Transcript]:
        found: dict[str, Transcript] = {}
        if not (self.folder / JOURNAL).is_file():
            return found
        with open(self.folder / JOURNAL, "rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    break  # cut off by a crash
                try:
                    done = Transcript.read(json.loads(line))
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise UserError(
                        f"{stream.name}:{number} is no transcript of this command ({error!r}): "
                        "give another --output"
                    ) from error
                found[done.audio] = done
        return found
