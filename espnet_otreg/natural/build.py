"""Making the corpus `natural`: sentences are dealt out, then spoken in chunks, as mini corpora are.

A clip depends on its place in its split, the seed and the sentence only, so neither the number of
processes nor an interruption changes a sample. `.done.json` comes last.
"""

import hashlib
import json
import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet_otreg import natural
from espnet_otreg.corpora.natural import MANIFEST
from espnet_otreg.corpora.record import by_category, counts, write_rejected
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_json, write_lines
from espnet_otreg.mini.build import Chunk, in_parallel, must_match, part_file
from espnet_otreg.mini.grammar import SPLITS
from espnet_otreg.mini.layouts import STAGING, Record, clip_path, finish, write_clip
from espnet_otreg.mini.render import SAMPLE_RATE, Background, generator, person, render
from espnet_otreg.natural import voices
from espnet_otreg.natural.sentences import SOURCES, Found, Sentence, deal, find

_VERSION = 1  # of what the code makes of sentences; raise it when clips change
_CHUNK = 25
_LAYOUT = "covost2"
_DONE, _STARTED, _CLIPS = ".done.json", "started.json", "clips.jsonl"


class Request(NamedTuple):
    """What to make."""

    size: str
    languages: tuple[str, ...]
    level: int
    seed: int


class Dealt(NamedTuple):
    """The sentences of a language by split, and those that were left out."""

    splits: dict[str, list[Sentence]]
    found: Found


class Job(NamedTuple):
    """A run of clips made by one process in one go."""

    chunk: Chunk
    sentences: list[Sentence]  # one per clip


class Summary(NamedTuple):
    """What is in one split of a finished folder."""

    clips: int
    hours: float
    words: int  # spoken
    forms: int  # different ones


Speak = Callable[[str], voices.Speak]


def build(
    output: Path, texts: Path, request: Request, jobs: int, speak: Speak | None = None
) -> dict[str, Summary] | None:
    """Fill `output`; None if it holds all of this already. Tests give voices of their own."""
    dealt = {language: _deal(texts, language, request) for language in request.languages}
    parameters = _parameters(request, dealt)
    work = output / STAGING
    if (output / _DONE).exists():
        must_match(output, output / _DONE, parameters)
        shutil.rmtree(work, ignore_errors=True)  # if the last run ended just before this
        return None
    if (work / _STARTED).exists():
        must_match(output, work / _STARTED, parameters)
    if speak is None:
        voices.check([voice for lang in request.languages for voice in _domain(request, lang)[0]])
    write_lines(work / _STARTED, [json.dumps(parameters)])
    every = list(_jobs(dealt))
    left = [job for job in every if not part_file(output, job.chunk).exists()]
    make = partial(_make_chunk, output, request, speak)
    in_parallel(make, left, lambda job: job.chunk.size, jobs)
    summary = _finish(output, request, dealt, [job.chunk for job in every])
    write_json(output / _DONE, {**parameters, "made": {k: v._asdict() for k, v in summary.items()}})
    shutil.rmtree(work)
    return summary


def _domain(request: Request, language: str) -> tuple[tuple[str, ...], natural.Domain]:
    domain = natural.domain(language, request.level, request.size)
    return domain.voices, domain


def _deal(texts: Path, language: str, request: Request) -> Dealt:
    """Deal a language's sentences out, or say that there are too few."""
    found = find(texts, language)
    sizes = natural.SIZES[request.size][language]
    splits = deal(found.sentences, language, sizes, request.seed)
    left_out = counts(by_category(found.rejected))
    trained, fewest = len(splits["train"]), natural.FEWEST[request.size]
    if trained < fewest:
        packages = " ".join(source.package for source in SOURCES[language])
        raise UserError(
            f"too little text in '{language}': {len(found.sentences)} sentences of {packages} can "
            f"be spoken (left out: {left_out}), size {request.size} needs {sum(sizes[1:]) + fewest}"
            ": leave the language out, or ask for size smoke"
        )
    logging.info("%s: %d sentences, left out: %s", language, len(found.sentences), left_out)
    if trained < sizes[0]:
        logging.warning("%s: text for %d of %d training sentences", language, trained, sizes[0])
    if not found.compared:
        logging.warning(
            "%s: the prompts are not in %s, so sentences were not compared with them; to test on "
            "prompts, fetch them first",
            *(language, texts),
        )
    return Dealt(splits, found)


def _parameters(request: Request, dealt: Mapping[str, Dealt]) -> dict[str, object]:
    """What tells one finished folder from another, sentences and sound included."""
    spoken = {lang: entry.splits for lang, entry in dealt.items()}
    sound = {lang: _domain(request, lang)[1] for lang in request.languages}
    made_of = repr((_VERSION, spoken, sound, natural.music(request.level)))
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    return {**request._asdict(), "languages": list(request.languages), "tables": digest}


def _jobs(dealt: Mapping[str, Dealt]) -> Iterator[Job]:
    for language, entry in dealt.items():
        for split in SPLITS:
            clips = len(entry.splits[split])
            for first in range(0, clips, _CHUNK):
                last = min(first + _CHUNK, clips)
                chunk = Chunk(natural.NAME, language, split, first, last, clips)
                yield Job(chunk, entry.splits[split][first:last])


def _make_chunk(output: Path, request: Request, speak: Speak | None, job: Job) -> None:
    """Speak and write a run of clips; in a process of its own."""
    chunk = job.chunk
    speaker, domain = voices.Voices(speak), _domain(request, chunk.lang)[1]
    background = Background(np.zeros(1), natural.music(request.level))
    place = (natural.NAME, chunk.lang, chunk.split)
    lines = []
    for index, sentence in enumerate(job.sentences, start=chunk.first):
        who = person(domain, *place, index, request.seed, chunk.clips)
        rng = generator(request.seed, *place, index)
        spoken = voices.phrases(sentence.text)
        clip = render(speaker, spoken, chunk.lang, domain, who, rng, background)
        name = f"{chunk.lang}_{chunk.split}_{index:05d}"
        write_clip(clip_path(output, _LAYOUT, chunk.lang, chunk.split, name), clip.samples)
        record: Record = {
            "clip": name,
            "lang": chunk.lang,
            "split": chunk.split,
            "speaker": who.name,
            "client_id": who.name,
            "gender": voices.GENDERS.get(who.variant, ""),
            **clip.condition,
            "phrases": clip.words,
            "samples": len(clip.samples),
            "rate": SAMPLE_RATE,
            "written": sentence.text,
            "translation": sentence.translation if chunk.lang != "en" else "",
            "origin": sentence.origin,
        }
        lines.append(json.dumps(record, ensure_ascii=False))
    write_lines(part_file(output, chunk), lines)


def _finish(
    output: Path, request: Request, dealt: Mapping[str, Dealt], chunks: Sequence[Chunk]
) -> dict[str, Summary]:
    """Write tables and manifest, and count."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for chunk in chunks:
        with open(part_file(output, chunk), encoding="utf-8") as stream:
            groups[chunk.lang] += map(json.loads, stream)
    summary = {}
    for language, records in groups.items():
        finish(output, _LAYOUT, language, records)
        write_rejected(output / f"left_out.{language}.tsv", dealt[language].found.rejected)
        for split in SPLITS:
            own = [record for record in records if record["split"] == split]
            spoken = [word for record in own for word in record["written"].lower().split()]
            seconds = sum(record["samples"] for record in own) / SAMPLE_RATE
            hours = round(seconds / 3600, 3)
            summary[f"{language} {split}"] = Summary(len(own), hours, len(spoken), len(set(spoken)))
    everything = (record for records in groups.values() for record in records)
    write_lines(output / _CLIPS, (json.dumps(each, ensure_ascii=False) for each in everything))
    write_json(output / MANIFEST, _manifest(request, dealt, summary))
    return summary


def _manifest(
    request: Request, dealt: Mapping[str, Dealt], summary: Mapping[str, Summary]
) -> dict[str, object]:
    """Say where texts and voices come from, and on what terms."""
    texts = {source.package: source for lang in dealt for source in SOURCES[lang]}
    names = list(dict.fromkeys(v for lang in request.languages for v in _domain(request, lang)[0]))
    engines = list(dict.fromkeys(name.partition(":")[0] for name in names))
    licences = [source.license for source in texts.values()]
    credits = [source.attribution for source in texts.values()]
    return {
        "corpus": natural.NAME,
        "license": "; ".join(dict.fromkeys(licences)),
        "attribution": "; ".join([*credits, *(voices.CREDITS[engine][1] for engine in engines)]),
        "request": {**request._asdict(), "languages": list(request.languages)},
        "texts": [source._asdict() for source in texts.values()],
        "voices": [
            dict(zip(("name", "license", "attribution"), (n, *voices.CREDITS[e]), strict=True))
            for n in names
            for e in [n.partition(":")[0]]
        ],
        "left_out": {
            lang: dict(by_category(entry.found.rejected)) for lang, entry in dealt.items()
        },
        "prompts_compared": {lang: entry.found.compared for lang, entry in dealt.items()},
        "made": {name: entry._asdict() for name, entry in summary.items()},
    }
