"""What training has in common with the test sets: clips, speakers and sentences.

A clip is shared if two utterances have the same recording: the same file content after formatting,
or the same name where corpora cut one source (CoVoST-2 is made of Common Voice's clips). A speaker
is shared if two corpora name the same person alike: `client_id` in Common Voice and CoVoST-2, the
reader's number of LibriVox in LibriSpeech and MLS. A sentence is shared if the transcripts are
equal; corpora of read sentences have many of those, by design.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.errors import UserError

KINDS = ("clip", "speaker", "sentence")
_SPEED = re.compile(r"^sp[\d.]+-")  # speed-perturbed copies are the same clip by the same person
_READER = re.compile(r"^(?:librispeech|mls)-(?=\d+$)")
_NAMED_CLIP = re.compile(r"-(common_voice_.+_\d+)$")


class Shared(NamedTuple):
    """One training utterance that a test set has something of."""

    kind: str  # of KINDS
    train_set: str
    utt_id: str
    test_set: str
    like: str  # an utterance of the test set
    what: str  # the clip's name or digest, the speaker, or the sentence


class Count(NamedTuple):
    """How much of one kind two sets share."""

    train_utterances: int
    test_utterances: int
    items: int  # different clips, speakers or sentences


def person(speaker: str) -> str:
    """Return what identifies a speaker across corpora."""
    return _READER.sub("librivox-", _SPEED.sub("", speaker))


def find_shared(
    train: Mapping[str, DataDir], test: Mapping[str, DataDir]
) -> tuple[list[Shared], dict[tuple[str, str, str], Count]]:
    """Compare every training set with every test set.

    Returns all shared utterances of the training sets, and a count by (kind, train set, test set)
    where there is anything.
    """
    shared: list[Shared] = []
    counted: dict[tuple[str, str, str], Count] = {}
    for test_name, test_set in test.items():
        for train_name, train_set in train.items():
            _must_be_formatted(train_name, train_set)
            _must_be_formatted(test_name, test_set)
            for kind, keys in zip(KINDS, _keys(train_set, test_set), strict=True):
                theirs = _by_key(keys, test_set)
                found = [
                    Shared(kind, train_name, utt, test_name, theirs[key][0], key)
                    for utt in train_set.ids
                    for key in keys(train_set, utt)
                    if key in theirs
                ]
                if found:
                    items = {entry.what for entry in found}
                    ours = {entry.utt_id for entry in found}
                    also = {utt for item in items for utt in theirs[item]}
                    place = (kind, train_name, test_name)
                    counted[place] = Count(len(ours), len(also), len(items))
                    shared += found
    return shared, counted


Keys = Callable[[DataDir, str], Iterable[str]]


def _keys(train: DataDir, test: DataDir) -> tuple[Keys, Keys, Keys]:
    """Return what makes two utterances alike, one function per kind."""
    lengths = _values(train) & _values(test)
    sizes = _sizes(train, lengths) & _sizes(test, lengths)

    def clips(data: DataDir, utt: str) -> list[str]:
        named = _NAMED_CLIP.search(utt)
        if named:
            return [named[1]]
        # only files of equal length and size can be equal: hardly any has to be read
        alike = data.tables["utt2num_samples"][utt] in lengths and _size(data, utt) in sizes
        return [_digest(_path(data, utt))] if alike else []

    return (
        clips,
        lambda data, utt: [person(data.tables["utt2spk"][utt])],
        lambda data, utt: [data.tables["text"][utt]] if data.tables["text"][utt] else [],
    )


def _by_key(keys: Keys, data: DataDir) -> dict[str, list[str]]:
    """Group a set's utterances by what they are compared by."""
    grouped: dict[str, list[str]] = {}
    for utt in data.ids:
        for key in keys(data, utt):
            grouped.setdefault(key, []).append(utt)
    return grouped


def _values(data: DataDir) -> set[str]:
    return set(data.tables["utt2num_samples"].values())


def _sizes(data: DataDir, lengths: set[str]) -> set[int]:
    """Return the sizes of the files that have one of the lengths."""
    samples = data.tables["utt2num_samples"]
    return {_size(data, utt) for utt in data.ids if samples[utt] in lengths}


def _path(data: DataDir, utt: str) -> Path:
    return Path(data.tables["wav.scp"][utt])


def _size(data: DataDir, utt: str) -> int:
    path = _path(data, utt)
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): format the set again.") from error


def _digest(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): format the set again.") from error
    return f"sha256:{hashlib.sha256(content).hexdigest()[:24]}"


def _must_be_formatted(name: str, data: DataDir) -> None:
    if "utt2num_samples" not in data.tables:
        raise UserError(f"{name} has no utt2num_samples: run bin/format_audio on this set first.")
