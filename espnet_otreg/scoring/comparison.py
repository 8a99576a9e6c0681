"""What a comparison consists of: systems, test sets, their parts, and a result for each."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from espnet_otreg.scoring.components import Component
from espnet_otreg.scoring.significance import Difference, Interval
from espnet_otreg.scoring.timing import Timing

MACRO = "macro"


class System(NamedTuple):
    """One row of a table."""

    name: str
    folders: tuple[Path, ...]  # one experiment folder per trained model
    external: bool = False  # somebody else's: its one folder holds <test_set>/score.json
    tags: tuple[str, ...] = ()  # decoding of each folder, where it is not the comparison's


class SetName(NamedTuple):
    """A test set and what it is to the training data, such as `in-domain`."""

    name: str
    domain: str


class Result(NamedTuple):
    """One system on one part of a test set; rates are shares, means over the trained models."""

    seed_rates: tuple[float, ...]  # model by model, in the order of the system's folders
    deviation: float | None  # standard deviation over the models; None with one
    interval: Interval
    substitutions: float
    deletions: float
    insertions: float
    cer: float
    sentence_error_rate: float
    empty_share: float
    failures: dict[str, float]  # share of utterances that show it, by failure mode
    difference: Difference | None  # from the baseline; None for the baseline itself
    seed_differences: tuple[float, ...]  # model by model; empty when the models do not pair
    covers: Mapping[str, int] = MappingProxyType(
        {}
    )  # level of chance of the difference -> draws, see `levels`
    held: tuple[str, ...] = ()  # levels of which there is one value
    components: tuple[Component, ...] = ()  # of the difference's variance
    freedom: float | None = None  # of what models add to it


class Part(NamedTuple):
    """One language of a test set, or all of it."""

    metric: str  # WER, CER or mixed
    utterances: int
    speakers: int
    words: int
    empty_references: int
    results: tuple[Result, ...]  # one per system


class TestedSet(NamedTuple):
    """A test set with its parts by language; the last is `total`."""

    name: str
    domain: str
    parts: dict[str, Part]
    macro: Part | None = None  # means over languages, each counting alike; None with one language
    timings: tuple[tuple[Timing, ...], ...] = ()  # of each system, of the seeds where recorded


class Comparison(NamedTuple):
    """Everything that the tables say."""

    systems: tuple[System, ...]
    sets: tuple[TestedSet, ...]
    normaliser: str
    decode_tag: str
    samples: int
    seed: int
    caveats: tuple[str, ...] = ()  # sentences
    labels: tuple[tuple[Mapping[str, str], ...], ...] = ()  # of each system's models, see `levels`
