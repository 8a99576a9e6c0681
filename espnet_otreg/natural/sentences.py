"""Sentences to be spoken, out of texts that packages carry.

Each source is read as it lies unpacked below one folder. A sentence is kept where a voice can say
it in one way only; all others are counted and listed with the reason. What a prompt says
(`corpora/prompts.py`) is left out too, so that it stays unseen.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora import fillets, prompts
from espnet_otreg.corpora.prompts_text import foreign_word
from espnet_otreg.corpora.record import Rejected, one_line
from espnet_otreg.corpora.trainable import normalise_transcript
from espnet_otreg.errors import UserError

SPLITS = ("test", "dev", "train")  # the order in which sentences are dealt out
FEWEST_WORDS, MOST_WORDS = 4, 20
_FOREIGN_WORDS = """
    au das de del der des du el en est et ich il ist je la las le les los ne nicht pas que qui und
    une von vous zu
"""
_FOREIGN = frozenset(_FOREIGN_WORDS.split())  # two of these in an English cookie: it is not English


class Source(NamedTuple):
    """A packaged text."""

    package: str  # of Debian
    folder: str  # below the download folder, unpacked
    license: str
    attribution: str
    files: tuple[str, ...]  # patterns below the folder


_FILLETS = Source(
    *("fillets-ng-data", fillets.TEXTS, fillets.LICENSE, fillets.ATTRIBUTION),
    (f"{fillets.GAME}/script/**/*dialogs_{{language}}.lua",),
)
_COOKIES = """
    art computers cookie education food humorists kids linux literature love medicine miscellaneous
    paradoxum people pets platitudes science sports startrek tao wisdom work
"""
_SABER = """
    amistad arte asimov ciencia familia famosos filosofia lao-tse proverbios sabiduria sentimientos
    verdad vida
"""
_FORTUNES = Source(
    *("fortunes", "fortunes", "BSD-3-Clause (the collection)"),
    "fortune-mod's cookies, collected by Ken Arnold, Karl Lehenbauer, Amy A. Lewis and others",
    tuple(f"usr/share/games/fortunes/{name}" for name in _COOKIES.split()),
)
_FORTUNES_ES = Source(
    *("fortunes-es", "fortunes-es", "GPL-2.0-or-later (the collection)"),
    "fortunes-es by Agustín Martín Domingo and Javier Fernández-Sanguino Peña, from Roly Canteros' "
    "'Frases y Proverbios' and Urko Lusa's 'chorrada'",
    tuple(f"usr/share/games/fortunes/es/{name}.fortunes" for name in _SABER.split()),
)
SOURCES = {
    "en": (_FILLETS, _FORTUNES),
    "es": (_FILLETS, _FORTUNES_ES),
    "fr": (_FILLETS,),
}


class Sentence(NamedTuple):
    """One sentence of one source."""

    text: str
    translation: str  # into English, where the source has it for just this sentence
    origin: str  # package:file:number


class Found(NamedTuple):
    """All sentences of a language, and what was left out."""

    sentences: list[Sentence]  # no two have the same words
    rejected: list[Rejected]
    compared: int  # prompts that were looked at; 0 where they are not there


def find(texts: Path, language: str) -> Found:
    """Read the sources of a language below a folder."""
    said = _said_by_prompts(texts, language)
    out, seen = Found([], [], len(said)), set[str]()
    for sentence in _read(texts, language):
        plain = normalise_transcript(sentence.text, language)
        reason = fault(sentence.text, language)
        if not reason and plain in said:
            reason = "a prompt: it is tested on"
        elif not reason and plain in seen:
            reason = "repeated"
        if reason:
            out.rejected.append(Rejected(sentence.origin, f"{reason}: {sentence.text}"))
        else:
            seen.add(plain)
            out.sentences.append(sentence)
    return out


def deal(
    sentences: Iterable[Sentence], language: str, sizes: tuple[int, int, int], seed: int
) -> dict[str, list[Sentence]]:
    """Deal sentences out to test, dev and, as many as are left and wanted, train."""

    def draw(sentence: Sentence) -> bytes:
        plain = normalise_transcript(sentence.text, language)
        return hashlib.sha256(f"{seed}|{plain}".encode()).digest()

    left = sorted(sentences, key=draw)
    wanted = dict(zip(("train", "dev", "test"), sizes, strict=True))
    out = {}
    for split in SPLITS:
        out[split], left = left[: wanted[split]], left[wanted[split] :]
    return out


def fault(text: str, language: str) -> str:
    """Say why a sentence is not to be spoken; empty if it is."""
    if "\N{REPLACEMENT CHARACTER}" in text:
        return "not UTF-8"
    if re.search(r"[^\W_]*\d", text):
        return "number"
    if re.search(r"[^\w\s.,;:!?¡¿'’…-]|_|--|\.\.\.\.", text):
        return "sign"
    if not re.match(r"[¡¿]*[^\W\d_]", text) or not re.search(r"[^\W_] ?[.!?…]+$", text):
        return "fragment"
    if not text.lstrip("¡¿")[0].isupper():
        return "fragment"
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text)
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        return "length"
    if any(len(word) > 1 and word.isupper() for word in words):
        return "capitals"
    if re.match(r"[^\W_]{1,2}:", text) or re.search(r"\b(?:[^\W_]\.){2}|\b[A-Z]\. ", text):
        return "abbreviation"
    if re.search(r"\b([^\W_])(?:-|…|\.\.\.) ?\1", text, re.IGNORECASE):
        return "stutter"
    if language == "en" and sum(word.lower() in _FOREIGN for word in words) > 1:
        return "other language"
    return "other script" if foreign_word(text, language) else ""


def _read(texts: Path, language: str) -> Iterator[Sentence]:
    for source in SOURCES[language]:
        home = texts / source.folder
        paths = [
            path
            for pattern in source.files
            for path in sorted(home.glob(pattern.format(language=language)))
        ]
        if not paths:
            raise UserError(
                f"{home} holds no text in '{language}': unpack the Debian package "
                f"{source.package} there (apt-get download {source.package}; dpkg -x FILE {home})"
            )
        for path in paths:
            pieces = _dialogues(path) if path.suffix == ".lua" else _cookies(path)
            for number, (text, translation) in enumerate(pieces, start=1):
                yield Sentence(text, translation, f"{source.package}:{path.stem}:{number}")


def _dialogues(path: Path) -> Iterator[tuple[str, str]]:
    """Yield a script's sentences, with their English where a line is just one."""
    own = path.stem.endswith("_en")
    for line in fillets.read_script(path):
        sentences = list(_sentences(line.english if own else line.text))
        for sentence in sentences:
            yield sentence, "" if own or len(sentences) > 1 else line.english


def _cookies(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the sentences of a file of fortunes, which lines of % part, without who said them."""
    content = path.read_bytes().decode("utf-8", errors="replace")
    for cookie in re.split(r"^%.*$", content, flags=re.MULTILINE):
        said = re.split(r"^\s*(?:--|[-–—]\s)", cookie, maxsplit=1, flags=re.MULTILINE)[0]
        for sentence in _sentences(one_line(said)):
            yield sentence, ""


def _sentences(text: str) -> Iterator[str]:
    """Cut after full stops that a space follows, and take quotation marks off."""
    for piece in re.split(r"(?<=[.!?…])[\"”»]?\s+", text):
        sentence = piece.strip(" \"“”«»'-")
        if sentence:
            yield sentence


def _said_by_prompts(texts: Path, language: str) -> set[str]:
    if language not in prompts.languages(texts):
        return set()
    return {
        normalise_transcript(record.text, language)
        for split in (*prompts.SPLITS, prompts.WHOLE)
        for record in prompts.prepare(texts, language, split, texts).records
    }
