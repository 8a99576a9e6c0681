"""What training has in common with the test sets: clips, speakers and sentences.

A clip is shared if two utterances have the same recording: the same file content after formatting,
or the same name where corpora cut one source (CoVoST-2 is made of Common Voice's clips). A speaker
is shared if two corpora name the same person alike: `client_id` in Common Voice and CoVoST-2, the
reader's number of LibriVox in LibriSpeech and MLS. A sentence is shared if the transcripts are
equal; corpora of read sentences have many of those, by design.

A copy at another speed is the clip that it is a copy of. Its content tells nothing, so it is found
beside the original, in any of the training sets; where none has the original, only a name can tell.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    for name, data in (*train.items(), *test.items()):
        _must_be_formatted(name, data)
    shared: list[Shared] = []
    counted: dict[tuple[str, str, str], Count] = {}
    for test_name, test_set in test.items():
        found: list[Shared] = []
        tested: dict[tuple[str, str], list[str]] = {}  # (kind, what) -> utterances of the test set
        for train_name, train_set in train.items():
            for kind, keys in zip(KINDS, _keys(train_set, test_set), strict=True):
                theirs = _by_key(keys, test_set)
                for utt in train_set.ids:
                    key = next((key for key in keys(train_set, utt) if key in theirs), None)
                    if key is not None:
                        entry = Shared(kind, train_name, utt, test_name, theirs[key][0], key)
                        found.append(entry)
                        tested[kind, key] = theirs[key]
        found += _other_speeds(found, train)
        for train_name in train:
            for kind in KINDS:
                here = [e for e in found if (e.train_set, e.kind) == (train_name, kind)]
                if here:
                    counted[kind, train_name, test_name] = _count(here, tested)
                    shared += here
    return shared, counted


def _other_speeds(found: Iterable[Shared], train: Mapping[str, DataDir]) -> list[Shared]:
    """Return the copies of shared clips, at any speed and in any training set, not yet found."""
    clips = {_SPEED.sub("", entry.utt_id): entry for entry in found if entry.kind == "clip"}
    known = {(entry.train_set, entry.utt_id) for entry in found if entry.kind == "clip"}
    return [
        clips[_SPEED.sub("", utt)]._replace(train_set=name, utt_id=utt)
        for name, data in train.items()
        for utt in data.ids
        if (name, utt) not in known and _SPEED.sub("", utt) in clips
    ]


def _count(found: Iterable[Shared], tested: Mapping[tuple[str, str], list[str]]) -> Count:
    """Count the utterances of either side, and what they share."""
    ours = {entry.utt_id for entry in found}
    items = {(entry.kind, entry.what) for entry in found}
    theirs = {utt for item in items for utt in tested[item]}
    return Count(len(ours), len(theirs), len(items))


Keys = Callable[[DataDir, str], Iterable[str]]


def _keys(train: DataDir, test: DataDir) -> tuple[Keys, Keys, Keys]:
    """Return what makes two utterances alike, one function per kind."""
    # only files of equal length and size can be equal: hardly any has to be read
    lengths = _lengths(train) & _lengths(test)
    alike = _extents(train, lengths) & _extents(test, lengths)

    def clips(data: DataDir, utt: str) -> Iterator[str]:
        named = _NAMED_CLIP.search(utt)
        if named:
            yield named[1]
        if _samples(data, utt) in lengths and _extent(data, utt) in alike:
            yield _digest(_path(data, utt))

    return (
        clips,
        lambda data, utt: [person(data.tables["utt2spk"][utt])],
        lambda data, utt: [data.tables["text"][utt]] if data.tables["text"][utt] else [],
    )


def _by_key(keys: Keys, data: DataDir) -> dict[str, list[str]]:
    """Group a set's utterances by what they are compared by."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for utt in data.ids:
        for key in keys(data, utt):
            grouped[key].append(utt)
    return grouped


def _lengths(data: DataDir) -> set[str]:
    return set(data.tables["utt2num_samples"].values())


def _extents(data: DataDir, lengths: set[str]) -> set[tuple[str, int]]:
    """Return samples and bytes of the recordings that have one of the lengths."""
    return {_extent(data, utt) for utt in data.ids if _samples(data, utt) in lengths}


def _extent(data: DataDir, utt: str) -> tuple[str, int]:
    return _samples(data, utt), _size(data, utt)


def _samples(data: DataDir, utt: str) -> str:
    return data.tables["utt2num_samples"][utt]


def _path(data: DataDir, utt: str) -> Path:
    return Path(data.tables["wav.scp"][utt])


def _size(data: DataDir, utt: str) -> int:
    path = _path(data, utt)
    try:
        return path.stat().st_size
    except (OSError, ValueError) as error:  # the latter for a path that no file can have
        raise UserError(f"{path} cannot be read ({error}): format the set again.") from error


def _digest(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): format the set again.") from error
    return f"sha256:{hashlib.sha256(content).hexdigest()[:24]}"


def _must_be_formatted(name: str, data: DataDir) -> None:
    if "utt2num_samples" not in data.tables:
        raise UserError(
            f"{name} has no utt2num_samples: run stages/format_audio on this set first."
        )
