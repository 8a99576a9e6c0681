"""Levels of chance: what a trained model is one draw of, and which models of two systems pair.

A model came about by a speech encoder and a language model, where it has them, by the common
checkpoint that it started from, and by its own seed. Each of these could have been another one. A
difference between two systems covers a level if both were trained with several values of it, the
same ones; a level with one value is held fixed, and the difference says nothing of other values.

Checkpoints are inside their pair of foundation models, and arms' seeds inside their checkpoint:
seed 1 of two checkpoints is two draws, so one seed each of several checkpoints is covered too.
What a model was trained with is read from its own config.yaml.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import System
from espnet_otreg.yaml_files import parse_yaml

ENCODER, LM, CHECKPOINT, SEED, TRAINING = "encoder", "lm", "checkpoint", "seed", "training"
ORDER = (ENCODER, LM, CHECKPOINT, SEED, TRAINING)
NESTED = (CHECKPOINT, SEED)
NAMES = {
    ENCODER: "speech encoder",
    LM: "language model",
    CHECKPOINT: "common checkpoint",
    SEED: "arm seed",
    TRAINING: "training",  # of a system decoded elsewhere, of which nothing is known
}
_READ = "seed|init_param|model|frontend|(?:frontend|encoder|decoder)_conf"
_READ += "|train_data_path_and_name_and_type"
_BLOCKS = re.compile(rf"(?m)^(?:{_READ}):.*(?:\n(?:[ -].*)?)*")  # words may hold empty lines
_PIECES = re.compile(r"token_list/([^/]+)/lm/")  # a recipe's text in pieces of a language model

Key = tuple[tuple[str, str], ...]
Labels = Mapping[str, str]  # of a model: level -> value, for the levels that it has


class Cell(NamedTuple):
    """A replicate that two systems share, and which of their models belong to it."""

    labels: Labels
    ours: tuple[int, ...]
    theirs: tuple[int, ...]


class Pairing(NamedTuple):
    """How the models of two systems pair, or those of one with themselves."""

    cells: tuple[Cell, ...]
    covers: dict[str, int]  # level that varies -> number of its draws
    held: tuple[str, ...]  # levels of which there is one value


def labels_of(systems: Sequence[System], shared: Labels | None = None) -> list[list[Labels]]:
    """Say of each system's models what they are draws of; `shared` holds for all of them."""
    facts = {
        folder: _facts(folder)
        for system in systems
        if not system.external
        for folder in system.folders
    }
    starts = {known[CHECKPOINT] for known in facts.values() if known and CHECKPOINT in known}
    found: list[list[Labels]] = []
    for system in systems:
        rows: list[Labels] = []
        for place, folder in enumerate(system.folders, start=1):
            labels = dict(shared or {})
            if system.external:
                labels = {TRAINING: "elsewhere"}
            elif not (known := facts[folder]):  # nothing is recorded: seeds, by their order
                labels |= {CHECKPOINT: "not recorded", SEED: str(place)}
            else:
                labels = known | labels
                if folder.resolve().name in starts:
                    labels[CHECKPOINT] = folder.resolve().name
                    del labels[SEED]  # its own seed is what makes it another checkpoint
            rows.append(labels)
        _check_distinct(system, rows)
        found.append(rows)
    return found


def _check_distinct(system: System, rows: Sequence[Labels]) -> None:
    for place, labels in enumerate(rows):
        for other in range(place):
            if labels == rows[other] and len(rows) > 1:
                told = ", ".join(f"{NAMES[level]} {value}" for level, value in labels.items())
                raise UserError(
                    f"{system.folders[other]} and {system.folders[place]} are one replicate of "
                    f"{system.name} ({told}): leave one out, or name them as two systems"
                )


def _facts(folder: Path) -> dict[str, str]:
    """Read what a model was trained with; empty where there is no config.yaml."""
    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    blocks = "\n".join(found[0] for found in _BLOCKS.finditer(text))  # not its long token list
    config = parse_yaml((blocks or "{}").encode(), path)
    found = {SEED: str(config.get("seed", 0))}
    start = config.get("init_param")
    if isinstance(start, list) and start:
        path = Path(str(start[0]).split(":")[0])
        found[CHECKPOINT] = path.parent.name or str(path)
    encoder, decoder = (_options(config, part) for part in ("encoder_conf", "decoder_conf"))
    if config.get("frontend") == "hf_speech":
        found[ENCODER] = _called(str(_options(config, "frontend_conf").get("model")))
    if config.get("model") == "slm":
        found[ENCODER] = _called(str(encoder.get("experiment") or encoder.get("model")))
        found[LM] = _called(str(decoder.get("model")))
    elif "model_name_or_path" in decoder:  # stock ESPnet's own speech language model
        found[LM] = _called(str(decoder["model_name_or_path"]))
    elif pieces := _PIECES.search(str(config.get("train_data_path_and_name_and_type"))):
        found[LM] = pieces[1]
    return found


def _called(model: str) -> str:
    """Name a folder beside the recipe by its place there, the same in every copy of the recipes."""
    beside = Path.cwd().parent
    return str(Path(model).relative_to(beside)) if Path(model).is_relative_to(beside) else model


def _options(config: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    options = config.get(part)
    return options if isinstance(options, dict) else {}


def pair(
    ours: Sequence[Labels], theirs: Sequence[Labels], names: tuple[str, str] = ("", "")
) -> Pairing:
    """Pair the models of two systems by the levels that both have several values of.

    A level that one of them lacks, such as the arms' seeds of a common checkpoint, does not keep
    its model from being paired with each of the other's.
    """
    kept: list[str] = []
    once: list[str] = []  # one value in each of several draws of what it is inside of
    held: list[str] = []
    for level in ORDER:
        have = [{row[level] for row in rows if level in row} for rows in (ours, theirs)]
        there = [values for values in have if values]
        if not there:
            continue
        if all(len(values) > 1 for values in there):
            if len(there) == 2 and have[0] != have[1]:
                raise UserError(_unequal(level, have, names))
            kept.append(level)
        elif level in NESTED and kept and all(len(values) == 1 for values in there):
            once.append(level)
        else:
            held.append(level)
    cells = tuple(_cells(_keys(ours, kept), _keys(theirs, kept), once, names))
    covers = {}
    for level in (level for level in ORDER if level in (*kept, *once)):
        parts = ORDER[: ORDER.index(level) + 1] if level in NESTED else (level,)
        covers[level] = len({tuple(cell.labels.get(part) for part in parts) for cell in cells})
    return Pairing(cells, covers, tuple(held))


def _keys(rows: Sequence[Labels], kept: Sequence[str]) -> dict[Key, tuple[int, ...]]:
    """Group models that differ in nothing that is kept apart."""
    groups: dict[Key, tuple[int, ...]] = {}
    for place, row in enumerate(rows):
        key = tuple((level, row[level]) for level in kept if level in row)
        groups[key] = (*groups.get(key, ()), place)
    return groups


def _cells(
    ours: Mapping[Key, tuple[int, ...]],
    theirs: Mapping[Key, tuple[int, ...]],
    once: Sequence[str],
    names: tuple[str, str],
) -> list[Cell]:
    found = []
    for mine, places in ours.items():
        for yours, others in theirs.items():
            one, other = dict(mine), dict(yours)
            if all(one[level] == other[level] for level in one.keys() & other.keys()):
                cell = Cell({**one, **other, **dict.fromkeys(once, "one")}, places, others)
                found.append((mine, yours, cell))
    for side, keys in enumerate((ours, theirs)):
        for key in keys:
            if key not in [entry[side] for entry in found]:
                told = ", ".join(f"{NAMES[level]} {value}" for level, value in key)
                raise UserError(
                    f"{names[side]} was trained with {told}, and {names[1 - side]} was not: train "
                    "and score both with the same, or leave that one out"
                )
    return [cell for _, _, cell in found]


def _unequal(level: str, have: Sequence[set[str]], names: tuple[str, str]) -> str:
    values = [" ".join(sorted(values)) for values in have]
    return (
        f"{names[0]} and {names[1]} were trained with different {NAMES[level]}s ({values[0]}; "
        f"{values[1]}): train and score both with the same, or leave the others out"
    )


def counted(level: str, number: int) -> str:
    """Write "arm seeds (3)"."""
    return f"{NAMES[level]}s ({number})"
