"""What a long stage has finished: one line per item, appended as it goes.

The first line holds the settings; a journal of other settings counts for nothing. A last line
without its end was cut by a crash and is taken off before anything is appended.
"""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.files import write_lines

AT_ONCE = 1000  # lines read together


class Outcome(NamedTuple):
    """What became of one recording."""

    utt_id: str
    source: str
    stamp: str  # size and time of the source, to notice that it was replaced
    size: int  # bytes of the file written
    samples: int
    notes: list[str]
    reason: str  # why it was rejected, empty if it was not


_KINDS = (str, str, str, int, int, list, str)


class Journal:
    """The journal of one output folder."""

    def __init__(self, path: Path, settings: dict[str, object]) -> None:
        self.path = path
        self.header = json.dumps(settings, sort_keys=True)

    def read(self) -> dict[str, Outcome]:
        """Return what was finished under the same settings, ready for `append`."""
        done: dict[str, Outcome] = {}
        end = 0
        if self.path.is_file():
            with open(self.path, "rb") as stream:
                header = stream.readline()
                if header == self.header.encode() + b"\n":
                    end = len(header)
                    while whole := [line for line in islice(stream, AT_ONCE) if line[-1:] == b"\n"]:
                        end += sum(map(len, whole))
                        done.update((outcome.utt_id, outcome) for outcome in _parsed(whole))
        if not end:
            write_lines(self.path, [self.header])
        elif end < self.path.stat().st_size:
            with open(self.path, "r+b") as stream:
                stream.truncate(end)
        return done

    def append(self, outcomes: Iterable[Outcome]) -> None:
        """Add a batch."""
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.writelines(f"{json.dumps(outcome)}\n" for outcome in outcomes)


def _parsed(lines: list[bytes]) -> list[Outcome]:
    """Read lines, all in one go if they can be; a damaged one means that its item is done again."""
    try:
        outcomes = [Outcome(*fields) for fields in json.loads(b"[" + b",".join(lines) + b"]")]
        if all(map(_sound, outcomes)):
            return outcomes
    except (ValueError, TypeError, RecursionError):
        outcomes = []
    return [one for line in lines for one in _parsed([line])] if len(lines) > 1 else []


def _sound(outcome: Outcome) -> bool:
    kinds = tuple(map(type, outcome))
    return kinds == _KINDS and all(isinstance(note, str) for note in outcome.notes)
