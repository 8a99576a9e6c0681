"""Transcripts with word times: any recording, any model, what `espnet-otreg transcribe` does.

opening.py makes a recogniser of a pack, an experiment or a hub name; recognisers.py and
listening.py let models write and align; word_times.py turns their paths into words; recordings.py,
pauses.py and running.py take recordings apart and put the answers together; formats.py and
outputs.py write them. microphone.py makes a recording; plans.py adds the transport plan, for who
wants to see it.
Here is what all of them hand on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np


class TimedWord(NamedTuple):
    """A word, when it is said, and how sure the model is of it."""

    word: str
    start: float  # seconds
    end: float
    confidence: float | None  # 0 to 1: geometric mean of the posteriors of its tokens


class Plan(NamedTuple):
    """The transport plan of one stretch of a recording and its text."""

    shares: np.ndarray  # (T, U) of each frame's mass, what goes to each token; rows sum to 1
    mass: np.ndarray  # (U,) share of all mass that a token has
    labels: tuple[str, ...]  # (U,) tokens, each once, silence last
    rows: tuple[tuple[int, ...], ...]  # of each word: where its tokens stand among the labels
    hop: float  # seconds per frame
    start: float = 0.0  # second at which the first frame begins
    first: int = 0  # word that `rows` begins with


class Passage(NamedTuple):
    """What is said in one stretch of a recording, times counted from its beginning."""

    text: str
    words: tuple[TimedWord, ...]
    problem: str = ""  # why the model gave no times, so that they are spread evenly
    plans: tuple[Plan, ...] = ()  # where they were asked for


class Recogniser(Protocol):
    """A model that writes down what it hears, and aligns what it is given."""

    rate: int  # of the samples it takes
    batch_size: int  # clips that it may be given at once without a change of its answers

    def check(self, language: str | None) -> None:
        """Raise a UserError for a language that it does not know."""

    def recognise(self, clips: Sequence[np.ndarray], language: str | None) -> list[Passage]:
        """Write down clips (N,) of samples."""

    def align(
        self, clips: Sequence[np.ndarray], texts: Sequence[str], languages: Sequence[str | None]
    ) -> list[Passage]:
        """Find the words of given texts."""


@dataclass(frozen=True)
class Transcript:
    """What is said in one recording."""

    audio: str  # path of the recording
    duration: float  # seconds
    language: str | None
    text: str
    words: tuple[TimedWord, ...]
    guessed: str = ""  # why some times are spread evenly
    stamp: str = ""  # size and time of the file, to notice that it was replaced
    plans: tuple[Plan, ...] = field(default=(), compare=False)  # to be seen, not to be written

    def row(self) -> dict[str, Any]:
        """Write it as prediction manifests of other tools do, words beside."""
        words = [
            {"word": word, "start": round(start, 3), "end": round(end, 3), "confidence": sure}
            for word, start, end, sure in self.words
        ]
        facts = {"duration": round(self.duration, 3), "language": self.language}
        texts = {"audio_filepath": self.audio, "pred_text": self.text, **facts, "words": words}
        return {**texts, "guessed": self.guessed, "stamp": self.stamp}

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Transcript":
        """Take it from a row again; a KeyError or TypeError tells that it is none."""
        words = tuple(TimedWord(*map(one.__getitem__, TimedWord._fields)) for one in row["words"])
        texts = (row["audio_filepath"], row["duration"], row["language"], row["pred_text"])
        return cls(*texts, words, row["guessed"], row["stamp"])


def joined(passages: Iterable[tuple[float, Passage]]) -> Passage:
    """Put the passages of a recording together, each with the second that it begins at."""
    texts, problems = [], []
    words: list[TimedWord] = []
    plans: list[Plan] = []
    for begin, passage in passages:
        texts += [passage.text] if passage.text else []
        problems += [passage.problem] if passage.problem else []
        plans += [p._replace(start=p.start + begin, first=len(words)) for p in passage.plans]
        words += [w._replace(start=w.start + begin, end=w.end + begin) for w in passage.words]
    return Passage(" ".join(texts), tuple(words), problems[0] if problems else "", tuple(plans))
