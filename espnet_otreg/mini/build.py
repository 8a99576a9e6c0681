"""Making the corpora: a list of small chunks, done in parallel, each finished or not at all.

A chunk's clips depend on its place in the list only, so neither the number of processes nor an
interruption changes a sample. A chunk is done when its part file is there; tables and archives are
written when all chunks are, and `.done.json` last.
"""

import hashlib
import json
import logging
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines
from espnet_otreg.mini import lexicon, shapes
from espnet_otreg.mini.domains import EVERY, GRADED, LANGUAGES_OF, MUSIC, SIZES, family
from espnet_otreg.mini.grammar import SPLITS, Sentence, draw_split, written
from espnet_otreg.mini.layouts import (
    STAGING,
    TRANSLATED_TO,
    Record,
    clip_name,
    clip_path,
    finish,
    write_clip,
)
from espnet_otreg.mini.render import (
    SAMPLE_RATE,
    Background,
    generator,
    make_babble,
    person,
    render,
)
from espnet_otreg.mini.speech import Speaker
from espnet_otreg.progress import progress

_VERSION = 1  # of what the code makes of the tables; raise it when clips change
_CHUNK = 25
_REPEAT = 5  # every so many FLEURS clips, the sentence before is read by somebody else
Item = TypeVar("Item")
_DONE, _STARTED, _TIMES = ".done.json", "started.json", "word_times.jsonl"


class Request(NamedTuple):
    """What to make."""

    size: str
    languages: tuple[str, ...]
    corpora: tuple[str, ...]
    seed: int

    def parameters(self) -> dict[str, object]:
        """What tells one finished folder from another, the tables' contents included."""
        sizes = {corpus: SIZES[self.size][corpus] for corpus in self.corpora}
        domains = {corpus: EVERY[corpus] for corpus in self.corpora}
        words = {name: text for name, text in vars(lexicon).items() if name.isupper()}
        music = {corpus: MUSIC[corpus] for corpus in self.corpora if corpus in MUSIC}
        tables = (_VERSION, sizes, domains, words, shapes.SHAPES)
        made_of = repr((*tables, music) if music else tables)
        return {
            "size": self.size,
            "languages": list(self.languages),
            "corpora": list(self.corpora),
            "seed": self.seed,
            "tables": hashlib.sha256(made_of.encode()).hexdigest()[:16],
        }


class Chunk(NamedTuple):
    """A run of clips made by one process in one go."""

    corpus: str
    lang: str
    split: str
    first: int
    last: int  # exclusive
    clips: int  # in the whole split

    @property
    def part(self) -> str:
        """The name of the file that says it is done."""
        return f"{self.corpus}.{self.lang}.{self.split}.{self.first:06d}.jsonl"

    @property
    def size(self) -> int:
        """How many clips are in it."""
        return self.last - self.first


class Summary(NamedTuple):
    """What is in a finished folder."""

    clips: int
    hours: float
    words: dict[str, int]  # different word forms per language


def build(output: Path, request: Request, jobs: int) -> Summary | None:
    """Fill `output`; None if it holds all of this already."""
    parameters = request.parameters()
    work = output / STAGING
    if (output / _DONE).exists():
        must_match(output, output / _DONE, parameters)
        shutil.rmtree(work, ignore_errors=True)  # if the last run ended just before this
        return None
    if (work / _STARTED).exists():
        must_match(output, work / _STARTED, parameters)
    write_lines(work / _STARTED, [json.dumps(parameters)])
    chunks = list(_chunks(request))
    left = [chunk for chunk in chunks if not part_file(output, chunk).exists()]
    make = partial(_make_chunk, output, request.seed)
    in_parallel(make, left, lambda chunk: chunk.size, jobs)
    summary = _finish(output, request, chunks)
    done = {**parameters, "clips": summary.clips, "hours": summary.hours, "words": summary.words}
    write_lines(output / _DONE, [json.dumps(done, indent=1)])
    shutil.rmtree(work)
    return summary


def must_match(output: Path, path: Path, parameters: dict[str, object]) -> None:
    """Stop where a folder holds, finished or not, something made in another way."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path} is not readable ({error}); remove {output} and run again"
        ) from error
    for key, value in parameters.items():
        if before.get(key) != value:
            raise UserError(
                f"{output} holds corpora made with {key} {before.get(key)!r}, and {value!r} "
                "is asked for now: choose another --output, or remove the folder"
            )


def _chunks(request: Request) -> Iterator[Chunk]:
    for corpus in request.corpora:
        spoken = LANGUAGES_OF.get(corpus, request.languages)
        for lang in (lang for lang in request.languages if lang in spoken):
            for split, clips in zip(SPLITS, SIZES[request.size][corpus], strict=True):
                for first in range(0, clips, _CHUNK):
                    last = min(first + _CHUNK, clips)
                    yield Chunk(corpus, lang, split, first, last, clips)


def part_file(output: Path, chunk: Chunk) -> Path:
    """The file that says that a chunk is done, and what is in it."""
    return output / STAGING / "parts" / chunk.part


def in_parallel(
    make: Callable[[Item], None], items: Sequence[Item], count: Callable[[Item], int], jobs: int
) -> None:
    """Make what is left, each item of so many clips; an interruption waits for those under way."""
    with progress("speaking", "clip", sum(map(count, items))) as bar:
        if jobs == 1:
            for item in items:
                make(item)
                bar.update(count(item))
            return
        pool = ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), initializer=_ignore_interrupt
        )
        try:
            tasks = {pool.submit(make, item): count(item) for item in items}
            for task in as_completed(tasks):
                task.result()
                bar.update(tasks[task])
        finally:  # a second or two
            pool.shutdown(cancel_futures=True)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides


@cache
def _speaker() -> Speaker:
    return Speaker()


@cache
def _babble(lang: str) -> np.ndarray:
    return make_babble(_speaker(), lang)


@cache
def sentences(
    corpus: str, lang: str, split: str, clips: int, seed: int
) -> tuple[tuple[int, Sentence], ...]:
    """Number and sentence of each clip of a split.

    FLEURS has the same sentences in all languages, and some are read by more than one speaker.
    """
    key = "all" if corpus == "fleurs" else lang
    source = draw_split(split, generator(seed, family(corpus), key, split, "sentences"))
    first = _first_of(corpus, split, clips)
    drawn = list(islice(source, first, first + clips))
    if corpus != "fleurs":
        return tuple(enumerate(drawn))
    numbers = [index - (index % _REPEAT == _REPEAT - 1) for index in range(clips)]
    offset = 10**5 * SPLITS.index(split)
    return tuple((offset + number, drawn[number]) for number in numbers)


def _first_of(corpus: str, split: str, clips: int) -> int:
    """Where a corpus' clips begin in its family's: graded training sets follow on each other."""
    return clips * list(GRADED).index(corpus) if corpus in GRADED and split == "train" else 0


def _make_chunk(output: Path, seed: int, chunk: Chunk) -> None:
    domain, music = EVERY[chunk.corpus], MUSIC.get(chunk.corpus)
    babble = _babble(chunk.lang)
    chosen = sentences(chunk.corpus, chunk.lang, chunk.split, chunk.clips, seed)
    _speaker().restart()
    lines = []
    for index in range(chunk.first, chunk.last):
        number, sentence = chosen[index]
        source = (family(chunk.corpus), chunk.lang, chunk.split)
        drawn = index + _first_of(chunk.corpus, chunk.split, chunk.clips)
        who = person(domain, *source, drawn, seed, chunk.clips)
        place = (chunk.corpus, chunk.lang, chunk.split)
        name = clip_name(*place, index, who.number)
        words = sentence.texts[chunk.lang].split()
        rng = generator(seed, *source, drawn)
        clip = render(_speaker(), words, chunk.lang, domain, who, rng, Background(babble, music))
        write_clip(clip_path(output, *place, name), clip.samples)
        record: Record = {
            "corpus": chunk.corpus,
            "lang": chunk.lang,
            "split": chunk.split,
            "clip": name,
            "speaker": who.name,
            "gender": who.gender,
            **clip.condition,
            "words": clip.words,
            "samples": len(clip.samples),
            "rate": SAMPLE_RATE,
            "sentence": number,
            "text": sentence.texts[chunk.lang],
            "written": written(sentence, chunk.lang),
            "translation": written(sentence, TRANSLATED_TO[chunk.lang]),
        }
        lines.append(json.dumps(record, ensure_ascii=False))
    write_lines(part_file(output, chunk), lines)


def _finish(output: Path, request: Request, chunks: Iterable[Chunk]) -> Summary:
    groups: dict[tuple[str, str], list[Record]] = {}
    for chunk in chunks:
        with open(part_file(output, chunk), encoding="utf-8") as stream:
            groups.setdefault((chunk.corpus, chunk.lang), []).extend(map(json.loads, stream))
    for (corpus, lang), records in groups.items():
        logging.info("writing the tables of %s %s", corpus, lang)
        finish(output, corpus, lang, records)
    everything = [record for records in groups.values() for record in records]
    aside = {"sentence", "text", "written", "translation"}
    write_lines(
        output / _TIMES,
        (
            json.dumps({k: v for k, v in record.items() if k not in aside}, ensure_ascii=False)
            for record in everything
        ),
    )
    words: dict[str, set[str]] = {lang: set() for lang in request.languages}
    for record in everything:
        words[record["lang"]].update(record["text"].split())
    samples = sum(record["samples"] for record in everything)
    return Summary(
        len(everything),
        round(samples / SAMPLE_RATE / 3600, 3),
        {lang: len(forms) for lang, forms in words.items()},
    )
