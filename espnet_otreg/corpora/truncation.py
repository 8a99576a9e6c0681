"""Recordings that were cut short: what the file's own header says against what is there.

Decoders end silently at the end of a cut WAV, Ogg or MP3, and the transcript would then claim more
than is said. FLAC needs no check here: its decoder reports the loss.
"""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from espnet_otreg.corpora import mpeg

STREAMED = 0x7FFFF000  # writers that cannot go back leave a size this large, or 0
TAIL = 1 << 17  # an Ogg page has at most 65,307 bytes
HEADER = 128  # bytes of an MP3's first frame in which its counts stand


class Ending(NamedTuple):
    """What is known about a file's end."""

    missing: str  # empty if nothing is known to be
    walked: mpeg.Walk | None = None  # an MP3's frames, where it does not say itself how many


def look_at_end(path: Path) -> Ending:
    """Find out whether something is missing at the file's end."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(1 << 16)
        if head[:4] == b"RIFF":
            return Ending(_riff(head, size))
        if head[:4] == b"OggS":
            stream.seek(max(0, size - TAIL))
            return Ending(_ogg(stream.read()))
        if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
            return _mp3(stream, mpeg.after_id3(head), size)
    return Ending("")


def _lacks(expected: int, actual: int) -> str:
    return f"{actual} bytes instead of {expected}" if actual < expected else ""


def _riff(head: bytes, size: int) -> str:
    """RIFF's size field counts everything after itself; some writers miscount by up to 8 bytes."""
    if len(head) < 8:
        return f"{size} bytes are no header"
    declared = struct.unpack("<I", head[4:8])[0]
    return "" if declared >= STREAMED else _lacks(declared, size)


def _ogg(tail: bytes) -> str:
    """The last page must be complete: its segment table tells its length."""
    page = tail.rfind(b"OggS")
    if page < 0 or page + 27 > len(tail):
        return "the last page's header is incomplete"
    segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + segments]
    expected = 27 + segments + sum(table)
    return "" if len(table) == segments and len(tail) - page >= expected else "incomplete last page"


def _mp3(stream: BinaryIO, start: int, size: int) -> Ending:
    """What a Xing or Info header says of the bytes from there on; without one, count the frames."""
    stream.seek(start)
    head = stream.read(HEADER)
    if start and head[:4] == b"fLaC":
        return Ending("")
    known = mpeg.counts(head, 0)
    missing = _lacks(known.size, size - start) if known else ""
    if missing or (known and known.size and known.frames):
        return Ending(missing)
    stream.seek(0)
    walked = mpeg.walk(stream.read(), start)
    if walked is None:
        return Ending("")
    missing = walked.missing
    if known and known.frames > walked.frames + 1:  # some count their own frame too
        missing = missing or f"{walked.frames} frames instead of {known.frames}"
    return Ending(missing, walked)
