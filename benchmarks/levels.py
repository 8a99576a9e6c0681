#!/usr/bin/env python3
"""Count how often intervals over several levels of chance hold the truth, in simulated designs.

Two systems are compared, each trained by the same cells of a design: speech encoders crossed with
language models, or a Latin square of both, common checkpoints in these, arms' seeds in those.
Speakers differ in what they get wrong, in what they gain and in how they fare with a single model;
each level moves the difference by a normal draw. So the truth is known, and 95 of 100 intervals
should hold it.

    python benchmarks/levels.py --json exp/levels.json
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet_otreg.scoring.components import Array
from espnet_otreg.scoring.hierarchy import Words, judge
from espnet_otreg.scoring.levels import CHECKPOINT, ENCODER, LM, SEED
from espnet_otreg.scoring.significance import resample_speakers

GAIN, RATE = -0.02, 0.2
POINT = 0.01


class Design(NamedTuple):
    """What is trained: of each cell its encoder, language model, checkpoint and seed."""

    name: str
    cells: tuple[tuple[int, int, int, int], ...]


def crossed(encoders: int, lms: int, checkpoints: int, seeds: int) -> tuple[Any, ...]:
    """Every encoder with every language model, and so on."""
    return tuple(
        (e, m, c, s)
        for e in range(encoders)
        for m in range(lms)
        for c in range(checkpoints)
        for s in range(seeds)
    )


DESIGNS = (
    Design("speakers alone", crossed(1, 1, 1, 1)),
    Design("2 arm seeds", crossed(1, 1, 1, 2)),
    Design("3 arm seeds", crossed(1, 1, 1, 3)),
    Design("3 checkpoints x 2 seeds", crossed(1, 1, 3, 2)),
    Design("4 encoders", crossed(4, 1, 1, 1)),
    Design("3 x 3 foundations", crossed(3, 3, 1, 1)),
    Design("4 x 3 foundations x 2 seeds", crossed(4, 3, 1, 2)),
    Design(
        "12 cells of a 6 x 6 square",
        tuple((i, (i + j) % 6, 0, 0) for i in range(6) for j in range(2)),
    ),
)
# Deviations, in points, of one draw of each level; and of speakers' gain, and of speaker and model
WORLDS: dict[str, dict[str, float]] = {
    "none but speakers": {},
    "seeds": {SEED: 1.0},
    "seeds and checkpoints": {SEED: 0.7, CHECKPOINT: 1.0},
    "all levels": {SEED: 0.5, CHECKPOINT: 0.7, ENCODER: 1.0, LM: 1.0},
    "foundations": {SEED: 0.3, CHECKPOINT: 0.5, ENCODER: 2.0, LM: 1.5},
}


def labels_of(design: Design) -> list[dict[str, str]]:
    """Name the cells as `espnet_otreg.scoring.levels` does."""
    return [
        dict(zip((ENCODER, LM, CHECKPOINT, SEED), map(str, cell), strict=True))
        for cell in design.cells
    ]


def simulate(
    design: Design, world: Mapping[str, float], speakers: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Make errors of both systems (cells, speakers), and words; one row is all a speaker said."""
    words = 10.0 * rng.geometric(1 / 12, speakers)
    drawn: dict[tuple[object, ...], float] = {}

    def effect(level: str, *path: int) -> float:
        key = (level, *path)
        if key not in drawn:
            drawn[key] = POINT * world.get(level, 0.0) * rng.normal()
        return drawn[key]

    shift = np.array(
        [
            effect(ENCODER, e)
            + effect(LM, m)
            + effect(CHECKPOINT, e, m, c)
            + effect(SEED, e, m, c, s)
            for e, m, c, s in design.cells
        ]
    )  # fmt: skip
    heard = RATE + rng.normal(0, 0.05, speakers)
    gain = GAIN + rng.normal(0, 0.02, speakers)
    cells = len(design.cells)
    theirs = heard + rng.normal(0, 0.02, (cells, speakers))
    ours = heard + gain + shift[:, None] + rng.normal(0, 0.02, (cells, speakers))
    sampled = [rng.binomial(words.astype(int), rate.clip(0, 1)) for rate in (ours, theirs)]
    return sampled[0].astype(float), sampled[1].astype(float), words


def coverage(
    design: Design, world: Mapping[str, float], speakers: int, trials: int, samples: int
) -> dict[str, float]:
    """Share of trials whose interval holds the true difference, and half the median width."""
    labels = labels_of(design)
    names = [f"s{i:04d}" for i in range(speakers)]
    held, widths = 0, []
    for trial in range(trials):
        rng = np.random.default_rng([trial, speakers, len(design.cells)])
        ours, theirs, said = simulate(design, world, speakers, rng)
        means = np.stack([ours.mean(axis=0), theirs.mean(axis=0)])
        drawn = resample_speakers(means, said, names, samples=samples, seed=trial)
        words = Words(said, np.arange(speakers), (np.arange(speakers),))
        interval = judge(ours, theirs, labels, words, drawn).difference.absolute
        held += interval.low <= GAIN <= interval.high
        widths.append((interval.high - interval.low) / 2)
    return {"held": held / trials, "points": float(np.median(widths)) / POINT}


def main(cmd: Sequence[str] | None = None) -> None:
    """Simulate, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000, help="per cell of the table")
    parser.add_argument("--samples", type=int, default=300, help="draws of the bootstrap")
    parser.add_argument("--speakers", type=int, nargs="+", default=[24, 100])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args(cmd)
    started, rows = time.monotonic(), []
    print(f"95 % intervals that hold the truth, % of {args.trials:,} trials (half their width)")
    for speakers in args.speakers:
        print(f"\n{speakers} speakers".ljust(32) + "".join(f"{name:>24}" for name in WORLDS))
        for design in DESIGNS:
            cells = []
            for world, effects in WORLDS.items():
                varied = {level for level in effects if _varies(design, level)}
                if varied != set(effects) and len(design.cells) > 1:
                    effects = {level: effects[level] for level in varied}
                elif len(design.cells) == 1:
                    effects = {}
                found = coverage(design, effects, speakers, args.trials, args.samples)
                rows.append({"speakers": speakers, "design": design.name, "world": world, **found})
                cells.append(f"{100 * found['held']:.1f} ({found['points']:.2f})")
            print(design.name.ljust(31) + "".join(f"{cell:>24}" for cell in cells), flush=True)
    print(f"\n{time.monotonic() - started:.0f} s")
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


def _varies(design: Design, level: str) -> bool:
    """Tell whether the design repeats a level: what it holds at one is no part of its truth."""
    place = (ENCODER, LM, CHECKPOINT, SEED).index(level)
    part = [cell[place] if level in (ENCODER, LM) else cell[: place + 1] for cell in design.cells]
    return len(set(part)) > 1


if __name__ == "__main__":
    sys.exit(main())
