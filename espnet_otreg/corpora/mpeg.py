"""MP3 files that do not say how long they are: their frames counted, and the count put in.

libsndfile takes the length from the Xing or Info frame. Where that is absent or empty it guesses
from the first bitrate, and what lies beyond the guess is never decoded: half of a VBR recording
that begins quietly. Every frame's header tells the frame's size, so hopping from one to the next
counts them without decoding.
"""

import re
from functools import cache
from typing import NamedTuple

KBPS = {  # by (MPEG version 1, layer); index 0 is free format, 15 is forbidden
    (True, 1): range(0, 449, 32),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
LAYERS = {3: 1, 2: 2, 1: 3}
ID3V1 = 128  # bytes, always
IN_A_ROW = 3  # frames that make a sync word among other bytes credible
SEARCHED = 1 << 16  # bytes between an ID3 tag and the first frame; decoders go no further


class Frame(NamedTuple):
    """What the first three bytes of a frame say."""

    size: int  # bytes, the header included
    samples: int
    kind: tuple[int, int, int]  # version, layer, rate: the same in all frames of a stream


class Counts(NamedTuple):
    """What a Xing or Info frame says."""

    at: int  # of the mark
    flags: int
    frames: int  # 0 if it does not say
    size: int  # bytes from the first frame on, 0 if it does not say


class Walk(NamedTuple):
    """All frames of a file, one after the other."""

    start: int  # of the first
    end: int  # of the last
    frames: int  # without the one that only holds counts
    samples: int
    per_frame: int  # samples
    missing: str  # what the last frame lacks, empty if nothing


@cache
def parse(second: int, third: int) -> Frame | None:
    """Read a header from its second and third byte; None for free format and what is no header."""
    version, layer = second >> 3 & 3, LAYERS.get(second >> 1 & 3)
    index, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if second < 0xE0 or layer is None or version not in RATES or rate == 3 or index in (0, 15):
        return None
    bits = 1000 * KBPS[version == 3, layer][index]
    hertz = RATES[version][rate]
    kind = (version, layer, rate)
    if layer == 1:
        return Frame((12 * bits // hertz + padding) * 4, 384, kind)
    samples = 576 if layer == 3 and version != 3 else 1152
    return Frame(samples // 8 * bits // hertz + padding, samples, kind)


def after_id3(head: bytes) -> int:
    """Where frames begin: after a leading ID3v2 tag, whose size has seven bits per byte."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    a, b, c, d = head[6:10]
    footer = 10 if head[5] & 0x10 else 0
    return 10 + (a << 21 | b << 14 | c << 7 | d) + footer


def counts(content: bytes, start: int) -> Counts | None:
    """Read the Xing or Info header of the frame at `start`; None if there is none."""
    for mark in (b"Xing", b"Info"):
        at = content.find(mark, start, start + 64)
        if at < 0 or at + 16 > len(content):
            continue
        flags, *numbers = (int.from_bytes(content[at + n : at + n + 4]) for n in (4, 8, 12))
        frames = numbers.pop(0) if flags & 1 else 0  # each number is there only if its flag is
        return Counts(at, flags, frames, numbers[0] if flags & 2 else 0)
    return None


def walk(content: bytes, start: int) -> Walk | None:
    """Hop over all frames of a file; None where they cannot be told, as in free format."""
    end = _before_tags(content)
    first = _next(content, start, min(end, start + SEARCHED), end)
    frame = _frame(content, first, end)
    if frame is None:
        return None
    kind, per_frame = frame.kind, frame.samples
    at, last, frames, missing = first, first, -1 if counts(content, first) else 0, ""
    while at < end:
        frame = _frame(content, at, end)
        if frame is None or frame.kind != kind:
            missing = _torn(content, first, at, end)
            at = _next(content, at, end, end, kind)  # other bytes between frames, or at the end
            continue
        at += frame.size
        if at <= end:
            frames, last = frames + 1, at
        else:
            missing = f"{frame.size - (at - end)} bytes instead of {frame.size} of the last frame"
    frames = max(frames, 0)  # the counting frame itself may be torn
    return Walk(first, last, frames, frames * per_frame, per_frame, missing)


def with_count(content: bytes, walked: Walk) -> bytes:
    """Return the frames, with their number where decoders look for it and nothing around them."""
    content = content[walked.start : walked.end]
    number, known = walked.frames.to_bytes(4), counts(content, 0)
    if known and known.flags & 1:
        size = len(content).to_bytes(4) if known.flags & 2 else b""
        return content[: known.at + 8] + number + size + content[known.at + 12 + len(size) :]
    header = bytearray(content[:4])
    old = parse(header[1], header[2])
    assert old is not None  # `walk` found it
    header[1] |= 1  # no checksum
    header[2] = header[2] & 0x0D | 0xE0  # the highest bitrate: there must be room for the numbers
    new = parse(header[1], header[2])
    assert new is not None
    mono, first_version = header[3] >> 6 == 3, old.kind[0] == 3
    side = (17 if mono else 32) if first_version else (9 if mono else 17)
    frame = bytes(header) + bytes(side) + b"Xing" + (1).to_bytes(4) + number
    return frame.ljust(new.size, b"\0") + content[old.size if known else 0 :]


def _frame(content: bytes, at: int, end: int) -> Frame | None:
    """Read the header at a place, if one is there."""
    whole = at >= 0 and at + 4 <= end and content[at] == 0xFF
    return parse(content[at + 1], content[at + 2]) if whole else None


def _next(content: bytes, at: int, until: int, end: int, kind: tuple[int, ...] = ()) -> int:
    """Find the next place from which several frames of a kind follow each other, or `end`."""
    while (at := content.find(b"\xff", at, until)) >= 0:
        here, row, wanted = at, 0, kind
        while (frame := _frame(content, here, end)) and frame.kind == (wanted or frame.kind):
            here, row, wanted = here + frame.size, row + 1, frame.kind
            if row == IN_A_ROW or (here >= end and not kind):
                return at
        if here == end and row:
            return at
        at += 1
    return end


def _torn(content: bytes, first: int, at: int, end: int) -> str:
    """Say whether the last bytes are a beginning header."""
    rest = content[at:end]
    torn = len(rest) < 4 and rest[:2] == content[first : first + 2][: len(rest)]
    return f"{len(rest)} bytes of the last frame" if torn else ""


def _before_tags(content: bytes) -> int:
    """Where the tags at the end begin: ID3v1, and APE before it."""
    end = len(content)
    if content[-ID3V1 : -ID3V1 + 3] == b"TAG":
        end -= ID3V1
    footer = re.compile(rb"APETAGEX.{4}(.{4}).{4}(.)?", re.DOTALL).match(content, max(0, end - 32))
    if footer:  # its size covers items and footer, not the header of the same 32 bytes
        end -= int.from_bytes(footer[1], "little")
        end -= 32 if content[end - 32 : end - 24] == b"APETAGEX" else 0
    return max(end, 0)
