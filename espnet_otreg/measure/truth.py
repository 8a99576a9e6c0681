"""True word times, brought to the frames and tokens that an alignment is about.

Words have true times, tokens have not: the pieces of a word share its span, and a frame inside the
word is true for each of its pieces. No boundary between pieces is invented that nobody measured.
"""

import json
import math
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet_otreg.errors import UserError

_OF_MODELS = {"[CLS]", "[SEP]", "[PAD]", "[MASK]", "<s>", "</s>", "<pad>", "<mask>"}
SPECIAL = frozenset({*_OF_MODELS, "<blank>", "<sos/eos>", "<space>"})
UNKNOWN = frozenset({"[UNK]", "<unk>"})
_WORD_START = "▁"  # sentencepiece's mark, which can stand alone
_SAME_LENGTH = 1e-4  # seconds, so that another sampling rate does not matter


class Word(NamedTuple):
    """A spoken word."""

    text: str
    start: float  # seconds
    end: float


class Truth(NamedTuple):
    """What a perfect alignment of one utterance would say."""

    frames: np.ndarray  # (T, U) bool: frame t belongs to token u
    owner: np.ndarray  # (U,) word of each token; -1 where it is never spoken ([CLS], punctuation)
    spans: np.ndarray  # (W, 2) start and end of each word in seconds
    hop: float  # seconds; frame t covers [t hop, (t + 1) hop)


class _Clip(NamedTuple):
    """One line of the file."""

    corpus: str
    name: str  # the part of an utterance id that a clip decides
    duration: float
    words: tuple[Word, ...]


def read_word_times(
    path: Path, durations: Mapping[str, float], *, corpus: str | None = None
) -> dict[str, tuple[Word, ...]]:
    """Find the words of each utterance in `word_times.jsonl`, which is read line by line.

    An utterance id is {corpus}-{language}-{split}-{clip}. A clip is found by the last three parts
    (several mini corpora share the reader of one layout) and must be as long as the utterance's
    recording, so that the times of another recording are never taken. Copies of another speed are
    not found. Utterances without word times are an error.

    Args:
        path: the file that the mini corpora have beside them
        durations: seconds of each utterance that is wanted
        corpus: look among the clips of this mini corpus only, such as `read`
    """
    wanted: dict[str, list[str]] = {}  # a clip's name may occur in several corpora
    for utt in durations:
        wanted.setdefault(utt.partition("-")[2], []).append(utt)
    found: dict[str, set[tuple[Word, ...]]] = {}
    near = set()  # a clip of that name, but of another length
    for clip in _read_clips(path):
        if corpus not in (None, clip.corpus):
            continue
        for utt in wanted.get(clip.name, ()):
            if abs(clip.duration - durations[utt]) <= _SAME_LENGTH:
                found.setdefault(utt, set()).add(clip.words)
            else:
                near.add(utt)
    lacking = [utt for utt in durations if utt not in found]
    if lacking:
        raise UserError(
            f"{len(lacking)} of {len(durations)} utterances have no word times in {path}, "
            f"such as {lacking[0]} ({durations[lacking[0]]:.4f} s); for "
            f"{len(near.intersection(lacking))} of them it has a clip of another length. Give the "
            "file of the corpora that the data directory was made from, no speed-perturbed copies."
        )
    unclear = [utt for utt in durations if len(found[utt]) > 1]
    if unclear:
        raise UserError(
            f"{len(unclear)} utterances, such as {unclear[0]}, have the name and the length of "
            f"several clips in {path}: say which mini corpus they are from"
        )
    return {utt: next(iter(found[utt])) for utt in durations}


def told_by_model(path: Path) -> bool:
    """Tell whether a model told the times of `stages.word_times`, which are no truth then."""
    with open(path, encoding="utf-8") as stream:
        return '"utt"' in stream.readline()


def _read_clips(path: Path) -> Iterator[_Clip]:
    if not path.is_file():
        raise UserError(
            f"{path} does not exist; the mini corpora come with word times, and "
            "stages.word_times makes them of others"
        )
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                record = json.loads(line)
                words = tuple(_word(*entry) for entry in record["words"])
                if "utt" in record:  # of stages.word_times
                    corpus, _, name = record["utt"].partition("-")
                else:
                    corpus = record["corpus"]
                    name = f"{record['lang']}-{record['split']}-{record['clip']}"
                duration = record["samples"] / record["rate"]
                clip = _Clip(corpus, "_".join(name.split()), duration, words)
            except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
                raise UserError(
                    f"{path}:{number} does not tell the word times of a clip ({error!r}); "
                    "make the mini corpora, or the file, again"
                ) from error
            yield clip


def _word(text: Any, start: Any, end: Any) -> Word:
    word = Word(text, float(start), float(end))
    if not isinstance(text, str) or not 0 <= word.start <= word.end < math.inf:
        raise ValueError(f"{text!r} from {start!r} to {end!r}")
    return word


def words_of_tokens(
    tokens: Sequence[str], words: Sequence[str], *, special: Collection[str] = SPECIAL
) -> np.ndarray:
    """Return the word (U,) that each token is a piece of, -1 for tokens that are never spoken.

    Tokens are followed through the letters and digits of the words, without case, accents and
    punctuation. So the marks of WordPiece (`##x`), of sentencepiece (`▁x`) and none at all (single
    characters) need no rule, and a word may be cut anywhere, as in `l`, `'`, `avocate`. An unknown
    token stands for at least one letter of one word. Never spoken are `special` tokens, and
    punctuation unless it is inside a word; a lone `▁` belongs to the word that it begins.
    """
    letters = [_letters(word) for word in words]
    text = "".join(letters)
    word_at = [index for index, word in enumerate(letters) for _ in word]
    here = [u for u, token in enumerate(tokens) if token in UNKNOWN or token not in special]
    spoken = [tokens[u] for u in here]
    cuts = _cuts(spoken, text, word_at)
    if len(cuts) <= len(spoken) or cuts[-1] != len(text):
        shown = " ".join(spoken[max(0, len(cuts) - 4) : len(cuts)])
        raise UserError(
            f"the tokens do not spell the words: '{shown}' is where they part from "
            f"'{' '.join(words)}'. Pass the pieces as text, and the words they were made from."
        )
    owner = np.full(len(tokens), -1)
    for u, token, begin, end in zip(here, spoken, cuts[:-1], cuts[1:], strict=True):
        inside = 0 < begin < len(text) and word_at[begin - 1] == word_at[begin]
        opens = token == _WORD_START and begin < len(text)
        if end > begin or inside or opens:
            owner[u] = word_at[begin]
    return owner


def _letters(text: str) -> str:
    """Reduce to letters and digits without case and accents, which tokenizers may change."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in folded if sign.isalnum())


def _cuts(tokens: Sequence[str], text: str, word_at: Sequence[int]) -> list[int]:
    """Return where each token begins in `text`, and where the last one ends.

    Only unknown tokens leave a choice, and every way is followed at once. Where a token fits
    nowhere, the places up to there are returned, fewer than asked for.
    """
    steps: list[dict[int, int]] = [{0: 0}]  # after each token: place reached -> its beginning
    for token in tokens:
        reached: dict[int, int] = {}
        for place in steps[-1]:
            for end in _ends(token, text, word_at, place):
                reached.setdefault(end, place)
        if not reached:
            break
        steps.append(reached)
    place = len(text) if len(text) in steps[-1] else max(steps[-1])
    cuts = [place]
    for step in reversed(steps[1:]):
        place = step[place]
        cuts.append(place)
    return cuts[::-1]


def _ends(token: str, text: str, word_at: Sequence[int], place: int) -> Iterator[int]:
    """Yield where a token that begins at `place` may end; no token goes beyond its word."""
    if token in UNKNOWN:
        for end in range(place + 1, len(text) + 1):
            if word_at[end - 1] != word_at[place]:
                return
            yield end
        return
    letters = _letters(token)
    end = place + len(letters)
    if text.startswith(letters, place) and (not letters or word_at[place] == word_at[end - 1]):
        yield end


def make_truth(
    words: Sequence[Word],
    tokens: Sequence[str],
    frames: int,
    hop: float,
    *,
    special: Collection[str] = SPECIAL,
) -> Truth:
    """Bring true word times to `frames` frames and the tokens of one utterance.

    A frame is true for the tokens of a word when its centre, (t + 1/2) hop, lies in [start, end).

    Example:
        >>> words = [Word("red", 0.0, 0.1), Word("hats", 0.2, 0.4)]
        >>> make_truth(words, ["[CLS]", "red", "hat", "##s"], 4, 0.1).frames.astype(int).tolist()
        [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    """
    _check_hop(hop)
    owner = words_of_tokens(tokens, [word.text for word in words], special=special)
    spans = np.array([[word.start, word.end] for word in words], float).reshape(-1, 2)
    centres = (np.arange(frames)[:, None] + 0.5) * hop
    inside = (spans[:, 0] <= centres) & (centres < spans[:, 1])  # (T, W)
    true = np.zeros((frames, len(tokens)), bool)
    true[:, owner >= 0] = inside[:, owner[owner >= 0]]
    return Truth(true, owner, spans, hop)


def truth_of_plan(plan: np.ndarray, owner: np.ndarray, hop: float) -> Truth:
    """Take an alignment, such as a CTC forced one, for the truth where there is none.

    A frame is true for the tokens it has mass on; a word lasts from the first to the last frame of
    its tokens. `owner` (U,) is the word of each column, -1 for columns that are never spoken.
    """
    _check_hop(hop)
    true = (plan > 0) & (owner >= 0)  # (T, U)
    spans = []
    for word in range(int(owner.max(initial=-1)) + 1):
        at = np.flatnonzero(true[:, owner == word].any(1))
        if not at.size:
            raise UserError(f"word {word} has no frame in the plan that is to serve as truth")
        spans.append([at[0] * hop, (at[-1] + 1) * hop])
    return Truth(true, owner, np.array(spans, float).reshape(-1, 2), hop)


def _check_hop(hop: float) -> None:
    if not 0 < hop < float("inf"):
        raise UserError(f"hop is the seconds from frame to frame, above 0; got {hop!r}")
