"""Transcripts as files: text, JSON lines, subtitles, NIST's CTM and Praat's TextGrid."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from espnet_otreg.transcribe import TimedWord, Transcript

CUE_LETTERS, CUE_SECONDS, CUE_PAUSE = 84, 6.0, 0.8  # a subtitle: two lines, read in that time
_SHORTEST = 0.001  # seconds of an interval, where a word has none


class Format(NamedTuple):
    """A kind of file."""

    ending: str
    render: Callable[[str, Transcript], str]  # from name and transcript, with the last line's end
    together: bool  # one file holds all recordings


def text(name: str, transcript: Transcript) -> str:
    """Write the words alone."""
    return f"{transcript.text}\n"


def jsonl(name: str, transcript: Transcript) -> str:
    """Write all that is known, in a line."""
    return json.dumps(transcript.row(), ensure_ascii=False) + "\n"


def ctm(name: str, transcript: Transcript) -> str:
    """Write `recording channel start duration word confidence` for each word."""
    lines = []
    for word, start, end, sure in transcript.words:
        confidence = "" if sure is None else f" {sure:.4f}"
        place = f"{start:.3f} {end - start:.3f}"
        lines.append(f"{'_'.join(name.split())} 1 {place} {word}{confidence}\n")
    return "".join(lines)


def srt(name: str, transcript: Transcript) -> str:
    """Write subtitles of up to two lines, parted where a pause is."""
    cues = []
    for number, words in enumerate(_cues(transcript.words), start=1):
        times = f"{_clock(words[0].start)} --> {_clock(words[-1].end)}"
        cues.append(f"{number}\n{times}\n{_two_lines(words)}\n")
    return "\n".join(cues)


def textgrid(name: str, transcript: Transcript) -> str:
    """Write a TextGrid of one tier, `words`, whose intervals leave no gap."""
    rows = list(_intervals(transcript.words, transcript.duration))
    end = rows[-1][1]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0"]
    lines += [f"xmax = {end:.3f}", "tiers? <exists>", "size = 1", "item []:", "    item [1]:"]
    lines += ['        class = "IntervalTier"', '        name = "words"', "        xmin = 0"]
    lines += [f"        xmax = {end:.3f}", f"        intervals: size = {len(rows)}"]
    for number, (begin, stop, label) in enumerate(rows, start=1):
        quoted = label.replace('"', '""')
        lines += [f"        intervals [{number}]:", f"            xmin = {begin:.3f}"]
        lines += [f"            xmax = {stop:.3f}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


def _intervals(words: Sequence[TimedWord], end: float) -> Iterator[tuple[float, float, str]]:
    """Yield intervals that follow each other, each of some length, to the end or beyond it."""
    at = 0.0
    for word in words:
        start = max(round(word.start, 3), at)
        stop = round(max(word.end, start + _SHORTEST), 3)
        if start > at:
            yield at, start, ""
        yield start, stop, word.word
        at = stop
    if at < round(end, 3) or not words:
        yield at, round(end, 3), ""


def _cues(words: Sequence[TimedWord]) -> Iterator[list[TimedWord]]:
    cue: list[TimedWord] = []
    for word in words:
        letters = sum(len(one.word) + 1 for one in cue) + len(word.word)
        if cue and (
            letters > CUE_LETTERS
            or word.end - cue[0].start > CUE_SECONDS
            or word.start - cue[-1].end > CUE_PAUSE
        ):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def _two_lines(words: Sequence[TimedWord]) -> str:
    whole = " ".join(word.word for word in words)
    if len(whole) <= CUE_LETTERS // 2:
        return whole
    spaces = [place for place, sign in enumerate(whole) if sign == " "]
    if not spaces:
        return whole
    middle = min(spaces, key=lambda place: abs(place - len(whole) / 2))
    return f"{whole[:middle]}\n{whole[middle + 1 :]}"


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"


FORMATS = {
    "txt": Format(".txt", text, together=False),
    "jsonl": Format(".jsonl", jsonl, together=True),
    "srt": Format(".srt", srt, together=False),
    "ctm": Format(".ctm", ctm, together=True),
    "textgrid": Format(".TextGrid", textgrid, together=False),
}
