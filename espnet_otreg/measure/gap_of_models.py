"""Measuring the gap in trained models: all on the same utterances, with the same transport."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
import yaml

from espnet_otreg.configuration import read_options
from espnet_otreg.decode.batches import padded_batches
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.measure.gap_measures import (
    GapSums,
    TextTable,
    distance_matrix,
    measure_gap,
    owners_of_plan,
)
from espnet_otreg.measure.gap_pictures import Kept, Span, spans_of_targets
from espnet_otreg.measure.spaces import Space, Spoken, Transported
from espnet_otreg.measure.truth import Word, make_truth, read_word_times
from espnet_otreg.models.options import TRANSPORT, OTConf

TIMES, FORCED, PLAN = "true word times", "CTC-forced token times", "the plan's largest mass"
_DEFAULTS: dict[str, dict] = {"slm": TRANSPORT, "otreg": {}}  # of models that have a term


class SpokenSet(NamedTuple):
    """The measured part of a data directory."""

    name: str
    audio: dict[str, str]
    texts: dict[str, str]
    speakers: dict[str, str]
    features: Path | None  # folder of cached frames
    words: Mapping[str, Sequence[Word]] | None  # utterance -> words with their times
    size: int  # of the whole set
    drawn: list[str]


class Findings:
    """What is known of the systems measured so far."""

    def __init__(self, sets: Sequence[SpokenSet]) -> None:
        """Begin with nothing about these sets."""
        self.found: dict[str, dict[str, dict[str, dict[str, GapSums]]]] = {
            test.name: {} for test in sets
        }  # set -> system -> experiment folder -> utterance
        self.left_out: dict[str, dict[str, str]] = {test.name: {} for test in sets}
        self.kept: list[Kept] = []  # to be drawn
        self.spaces: list[dict[str, Any]] = []

    def keep_common(self) -> None:
        """Leave out everywhere what a system could not be measured on."""
        for name, systems in self.found.items():
            bad = self.left_out[name]
            for folders in systems.values():
                for folder, parts in folders.items():
                    folders[folder] = {u: parts[u] for u in sorted(parts) if u not in bad}
                    if not folders[folder]:
                        last = next(reversed(bad.values()), "the set is empty")
                        raise UserError(f"no utterance of {name} can be measured: {last}")
            self.kept = [k for k in self.kept if (k.set, k.utterance in bad) != (name, True)]


def spread(names: Sequence[str], count: int) -> list[str]:
    """Choose `count` of the sorted names, evenly spread."""
    ordered = sorted(names)
    count = min(count, len(ordered))
    return [ordered[place * len(ordered) // count] for place in range(count)]


def read_set(
    folder: Path,
    *,
    utterances: int,
    pictures: int,
    word_times: Path | None = None,
    features: Path | None = None,
) -> SpokenSet:
    """Read what is measured of a data directory; `features` holds cached frames."""
    audio, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
    if audio.keys() != texts.keys():
        raise UserError(f"{folder}: wav.scp and text list different utterances")
    chosen = spread(list(audio), utterances)
    audio = {utt: audio[utt] for utt in chosen}
    words = None
    if word_times is not None:
        clips = {utt: soundfile.info(path) for utt, path in audio.items()}
        seconds = {utt: clip.frames / clip.samplerate for utt, clip in clips.items()}
        words = read_word_times(word_times, seconds)
    speakers = read_table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    if features is not None:
        there = read_table(features / "feats.scp")
        lacking = [utt for utt in chosen if utt not in there]
        if lacking:
            raise UserError(
                f"{features} has no frames of {len(lacking)} utterances, first {lacking[0]}: make "
                "them with espnet_otreg.stages.speech_features, or leave --features out"
            )
    drawn = spread(chosen, pictures) if pictures > 0 else []
    return SpokenSet(folder.name, audio, texts, speakers, features, words, len(texts), drawn)


class Means(NamedTuple):
    """What models are opened and run with."""

    model_file: str
    batch_size: int
    device: str
    hop: float | None  # seconds per frame; None: found by trying


class _Opened(NamedTuple):
    """A system ready to be measured."""

    system: str
    space: Space
    text: TextTable


class _Owners(NamedTuple):
    """Which tokens each frame of an utterance may belong to."""

    own: np.ndarray  # (T, U)
    spans: list[Span]  # of the tokens, in seconds
    how: str  # it is known


def shared_conf(folders: Sequence[Path]) -> tuple[OTConf, str]:
    """Return one description of transport for all, and whose it is: the first regularised one's."""
    for folder in folders:
        if not (folder / "config.yaml").is_file():
            raise UserError(f"{folder / 'config.yaml'} does not exist: train first (stage 11)")
        options = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        if options.get("model") not in _DEFAULTS:
            continue
        given = (options.get("model_conf") or {}).get("ot_conf") or {}
        conf = read_options(OTConf, {**_DEFAULTS[options["model"]], **given}, "ot_conf")
        if conf.weight > 0 and conf.control == "none":
            return conf, os.path.relpath(folder)
    return OTConf(), "the defaults, as no system is regularised"


def measure_system(
    findings: Findings,
    system: str,
    folder: Path,
    tests: Sequence[SpokenSet],
    conf: OTConf,
    means: Means,
    draw: bool,
) -> None:
    """Measure one trained model on all sets; with `draw`, keep what pictures need."""
    table = None if conf.text_table == "llm" else conf.text_table
    space = Space.open(
        folder, means.model_file, device=means.device, text_table=table, hop=means.hop
    )
    opened = _Opened(system, space, TextTable(space.table, space.anchor))
    experiment = os.path.relpath(folder)
    hows = set()
    for test in tests:
        parts = findings.found[test.name].setdefault(system, {}).setdefault(experiment, {})
        problems = findings.left_out[test.name]
        for batch, speech, lengths in _batches(space, test, means.batch_size, means.device):
            placed = dict(zip(batch, space.place(speech, lengths, [test.texts[u] for u in batch]),
                              strict=True))  # fmt: skip
            for utt, one in placed.items():
                if one.problem:
                    problems.setdefault(utt, f"{experiment}: {one.problem}")
            good = [utt for utt in batch if not placed[utt].problem]
            plans = space.transport([placed[utt] for utt in good], conf) if good else []
            for utt, plan in zip(good, plans, strict=True):
                one = placed[utt]
                try:
                    owners = _owners(space, test, utt, one, plan)
                except UserError as error:  # no path, or the tokens do not spell the words
                    problems.setdefault(utt, f"{experiment}: {error}")
                    continue
                hows.add(owners.how)
                parts[utt] = measure_gap(one.speech, one.ids, owners.own, opened.text, plan.cost,
                                         silence_known=owners.how == TIMES)  # fmt: skip
                if draw and utt in test.drawn:
                    findings.kept.append(_keep(opened, test, utt, one, plan, owners))
    findings.spaces.append(
        {
            "system": system,
            "seed_folder": experiment,
            "table": space.table_name,
            "rows": len(opened.text),
            "dimension": int(space.table.shape[1]),
            "hop": space.hop,
            "own_by": sorted(hows),
        }
    )


def _batches(
    space: Space, test: SpokenSet, batch_size: int, device: str
) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
    """Yield utterances with their samples, or with the cached frames of their encoder."""
    if test.features is None:
        yield from padded_batches(test.audio, batch_size, device)
        return
    space.check_features(test.features)
    paths = read_table(test.features / "feats.scp")
    utts = list(test.audio)
    for start in range(0, len(utts), batch_size):
        batch = utts[start : start + batch_size]
        arrays = [np.load(paths[utt], allow_pickle=False).astype("float32") for utt in batch]
        frames = [torch.from_numpy(array) for array in arrays]
        lengths = torch.tensor([len(one) for one in frames], device=device)
        yield batch, torch.nn.utils.rnn.pad_sequence(frames, batch_first=True).to(device), lengths


def _owners(space: Space, test: SpokenSet, utt: str, one: Spoken, plan: Transported) -> _Owners:
    """Decide which tokens a frame may belong to: by truth, else by CTC, else by the plan."""
    if test.words is not None:
        truth = make_truth(test.words[utt], one.pieces, len(one.speech), space.hop)
        spans = [(u, *truth.spans[word]) for u, word in enumerate(truth.owner) if word >= 0]
        return _Owners(truth.frames, [(u, float(a), float(b)) for u, a, b in spans], TIMES)
    if one.forced is not None:
        own = one.forced > 0
        at = [own[:, u].nonzero()[0] for u in range(own.shape[1])]
        hop = space.hop
        found = [(u, t[0] * hop, (t[-1] + 1) * hop) for u, t in enumerate(at)]
        return _Owners(own, found, FORCED)
    if one.unforced:  # one system's frames are not to be found in two ways
        raise UserError(one.unforced)
    return _Owners(owners_of_plan(plan.coupling, plan.targets, one.ids, space.anchor), [], PLAN)


def _keep(
    opened: _Opened, test: SpokenSet, utt: str, one: Spoken, plan: Transported, owners: _Owners
) -> Kept:
    space, spans = opened.space, owners.spans
    waveform, rate = soundfile.read(test.audio[utt], dtype="float32")
    return Kept(
        set=test.name,
        utterance=utt,
        system=opened.system,
        waveform=waveform,
        rate=rate,
        hop=space.hop,
        coupling=plan.coupling,
        targets=[space.label(row) for row in plan.targets],
        target_spans=spans_of_targets(spans, one.ids, plan.targets),
        distances=distance_matrix(one.speech, one.ids, opened.text),
        tokens=[*one.pieces, space.label(space.anchor)],
        token_spans=spans,
        times=owners.how,
    )
