"""Recordings that were cut short: what the file's own header says against what is there.

Decoders end silently at the end of a cut WAV, Ogg or MP3, and the transcript would then claim more
than is said. FLAC needs no check here: its decoder reports the loss.
"""

import struct
from pathlib import Path

STREAMED = 0x7FFFF000  # writers that cannot go back leave a size this large, or 0
TAIL = 1 << 17  # an Ogg page has at most 65,307 bytes


def cut_short(path: Path) -> str:
    """Describe what is missing at the file's end; empty if nothing is known to be."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(1 << 16)
        if head[:4] == b"RIFF":
            return _riff(head, size)
        if head[:4] == b"OggS":
            stream.seek(max(0, size - TAIL))
            return _ogg(stream.read())
        start = _after_id3(head)
        if start + 2 <= len(head) and head[start] == 0xFF and head[start + 1] >= 0xE0:
            return _mp3(head[start:], size - start)
    return ""


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


def _after_id3(head: bytes) -> int:
    """Where MP3 frames begin: after a leading ID3v2 tag, whose size has seven bits per byte."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    a, b, c, d = head[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def _mp3(frames: bytes, size: int) -> str:
    """A Xing or Info header in the first frame may hold the number of bytes from there on."""
    for mark in (b"Xing", b"Info"):
        at = frames.find(mark, 0, 64)
        if at < 0 or at + 16 > len(frames):
            continue
        flags, *numbers = struct.unpack(">3I", frames[at + 4 : at + 16])
        if flags & 2:  # bytes are present; they follow the frame count if that is present too
            return _lacks(numbers[1] if flags & 1 else numbers[0], size)
    return ""
