"""From recordings to transcripts, as they come: cut, batched by length, put together again."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from espnet_otreg.corpora.audio import BadAudio
from espnet_otreg.transcribe import Passage, Recogniser, Transcript, joined
from espnet_otreg.transcribe.pauses import cut
from espnet_otreg.transcribe.recordings import Recording, read

LONGEST = 20.0  # seconds of a stretch, by default
WINDOW = 300.0  # seconds of speech that are batched together
MOST = 64  # recordings of a window

Outcome = tuple[Recording, Transcript | str]  # or why it is rejected


class _Heard(NamedTuple):
    """A recording of a window, in stretches."""

    recording: Recording
    stamp: str
    samples: np.ndarray
    stretches: list[tuple[int, int]]


def transcribe(
    recogniser: Recogniser,
    recordings: Iterable[Recording],
    language: str | None = None,
    *,
    longest: float = LONGEST,
    batch_size: int | None = None,
) -> Iterator[Outcome]:
    """Yield each recording's transcript, or why it has none, in the order given.

    A window of recordings is held in memory at a time. Its stretches go through the model by
    length, the longest first, so that batches pad little.
    """
    recogniser.check(language)
    window: list[_Heard] = []
    seconds, most = 0.0, recogniser.batch_size  # a small first window: the first words come soon
    for recording in recordings:
        try:
            samples = read(recording.path, recogniser.rate)
            stamp = recording.stamp
        except (BadAudio, OSError) as error:
            yield recording, str(error)
            continue
        stretches = cut(samples, recogniser.rate, longest)
        window.append(_Heard(recording, stamp, samples, stretches))
        seconds += len(samples) / recogniser.rate
        if seconds >= WINDOW or len(window) >= most:
            yield from _answers(recogniser, window, language, batch_size)
            window, seconds, most = [], 0.0, MOST
    yield from _answers(recogniser, window, language, batch_size)


def _answers(
    recogniser: Recogniser, window: Sequence[_Heard], language: str | None, size: int | None
) -> Iterator[Outcome]:
    places = [(i, start, end) for i, one in enumerate(window) for start, end in one.stretches]
    places.sort(key=lambda place: place[1] - place[2])
    heard: dict[tuple[int, int], Passage] = {}
    for batch in _batches(places, size or recogniser.batch_size):
        clips = [window[i].samples[start:end] for i, start, end in batch]
        for (i, start, _), passage in zip(
            batch, recogniser.recognise(clips, language), strict=True
        ):
            heard[i, start] = passage
    for i, one in enumerate(window):
        starts = [start for start, _ in one.stretches]
        whole = joined((start / recogniser.rate, heard[i, start]) for start in starts)
        yield (
            one.recording,
            Transcript(
                audio=os.path.abspath(one.recording.path),
                duration=len(one.samples) / recogniser.rate,
                language=language,
                text=whole.text,
                words=whole.words,
                guessed=whole.problem,
                stamp=one.stamp,
                plans=whole.plans,
            ),
        )


def _batches(places: Sequence[tuple[int, int, int]], size: int) -> Iterator[list]:
    for start in range(0, len(places), size):
        yield list(places[start : start + size])


class Told(NamedTuple):
    """An utterance of a corpus, whose text is given."""

    recording: Recording
    text: str
    language: str | None


def align(recogniser: Recogniser, told: Sequence[Told]) -> Iterator[Outcome]:
    """Yield the word times of given texts, or why there are none, in the order given."""
    for language in dict.fromkeys(each.language for each in told):
        recogniser.check(language)
    for begin in range(0, len(told), recogniser.batch_size):
        batch, clips = [], []
        for one in told[begin : begin + recogniser.batch_size]:
            try:
                clips.append(read(one.recording.path, recogniser.rate))
                batch.append(one)
            except (BadAudio, OSError) as error:
                yield one.recording, str(error)
        if not batch:
            continue
        texts, languages = [one.text for one in batch], [one.language for one in batch]
        for one, clip, found in zip(
            batch, clips, recogniser.align(clips, texts, languages), strict=True
        ):
            if found.problem:
                yield one.recording, f"not aligned: {found.problem}"
                continue
            seconds = len(clip) / recogniser.rate
            audio, stamp = os.path.abspath(one.recording.path), one.recording.stamp
            facts = (audio, seconds, one.language, found.text, found.words)
            yield one.recording, Transcript(*facts, stamp=stamp)
