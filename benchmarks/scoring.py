#!/usr/bin/env python3
"""Time scoring on made-up text, and count how often its intervals hold the truth.

Two systems' hypotheses for utterances of about ten words are written, scored and compared by the
commands that a recipe calls, each in a process of its own, as a user waits for them: the two scores
side by side, then the comparison. Then systems of known error rate, whose speakers differ, are
simulated over and over: 95 of 100 intervals should hold the true rate and the true difference.

    python benchmarks/scoring.py --json exp/scoring.json
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet_otreg.files import write_lines
from espnet_otreg.scoring.macro import macro_difference, macro_interval, resample_macro
from espnet_otreg.scoring.significance import (
    Array,
    Interval,
    paired_difference,
    rate_interval,
    resample_speakers,
)

LANGUAGES = ("en", "es", "fr", "de")
RATES = (0.15, 0.13)


class World(NamedTuple):
    """A simulated test set of two systems."""

    errors: Array  # (2, utterances)
    words: Array  # (utterances,)
    speakers: list[str]
    languages: list[str]


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--utterances", type=int, default=100_000, help="to be scored")
    parser.add_argument("--speakers", type=int, default=5000, help="who speak them")
    parser.add_argument("--samples", type=int, default=1000, help="draws of the bootstrap")
    parser.add_argument("--trials", type=int, default=3000, help="simulated test sets of a size")
    parser.add_argument("--seed", type=int, default=0, help="of all that is made up")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def make_data(folder: Path, utterances: int, speakers: int, seed: int) -> None:
    """Write a data directory and two systems' hypotheses; words are as frequent as Zipf says."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(2, 11))) for _ in range(20_000)]
    frequency = 1 / np.arange(1, len(words) + 1)
    frequency /= frequency.sum()
    names = [f"set-{i:06d}" for i in range(utterances)]
    lengths = rng.integers(4, 17, utterances)
    said = np.split(rng.choice(len(words), lengths.sum(), p=frequency), np.cumsum(lengths)[:-1])
    who = rng.integers(speakers, size=utterances)
    tables = {
        "text": [" ".join(words[i] for i in one) for one in said],
        "utt2spk": [f"s{speaker}" for speaker in who],
        "utt2lang": [LANGUAGES[speaker % len(LANGUAGES)] for speaker in who],
    }
    for system, rate in enumerate(RATES):
        tables[f"hyp{system}"] = [_misheard(one, words, rate, rng) for one in said]
    for name, column in tables.items():
        rows = [" ".join(pair) for pair in zip(names, column, strict=True)]
        write_lines(folder / "data" / name, rows)


def _misheard(said: Array, words: Sequence[str], rate: float, rng: np.random.Generator) -> str:
    """Six errors of ten are wrong words, two are lost ones and two are inserted ones."""
    heard = []
    for word, chance, other in zip(
        said, rng.random(len(said)), rng.integers(len(words), size=len(said)), strict=True
    ):
        if chance < 0.6 * rate:
            heard.append(words[other])
        elif chance >= 0.8 * rate:
            heard.append(words[word])
            if chance < rate:
                heard.append(words[other])
    return " ".join(heard)


def time_commands(folder: Path, samples: int) -> dict[str, float]:
    """Score both systems side by side, then compare them; seconds of each step."""
    program = [sys.executable, "-m"]
    score = [*program, "espnet_otreg.stages.score", "--ref", "data"]
    scores = [
        [*score, "--hyp", f"data/hyp{i}", "--output", f"exp{i}/decode/set/score.json"]
        for i in range(len(RATES))
    ]
    compare = [*program, "espnet_otreg.stages.compare", "--baseline", "exp0", "--systems", "exp1"]
    compare += ["--in_domain", "set", "--decode_tag", "decode", "--samples", str(samples)]
    compare += ["--output", "RESULTS.md", "--json", "results.json"]
    steps = {"score both": scores, "compare": [compare]}
    seconds = {}
    for name, commands in steps.items():
        started = time.perf_counter()
        running = [
            subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) for command in commands
        ]
        if any(map(subprocess.Popen.wait, running)):
            sys.exit(f"{name} failed")
        seconds[name] = time.perf_counter() - started
    return seconds | {"together": sum(seconds.values())}


def simulate(speakers: int, languages: int, rng: np.random.Generator) -> World:
    """Speakers differ in what they get wrong, in what they gain and in how much they say."""
    said = rng.geometric(1 / 6, speakers)
    who = np.repeat(np.arange(speakers), said)
    words = rng.integers(4, 17, len(who))
    first, second = draw_rates(speakers, rng)
    errors = np.stack([rng.binomial(words, first[who]), rng.binomial(words, second[who])])
    tongue = [str(speaker % languages) for speaker in who]
    return World(errors.astype(float), words.astype(float), [str(w) for w in who], tongue)


def draw_rates(speakers: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw true error rates of both systems: skewed, and each speaker gains another amount."""
    first = rng.gamma(4, 0.15 / 4, speakers).clip(0, 0.9)
    return first, (first + rng.normal(-0.02, 0.03, speakers)).clip(0, 0.95)


def coverage(
    speakers: int, languages: int, trials: int, samples: int, seed: int
) -> dict[str, float]:
    """Share of trials whose interval holds the true rate, and the true difference."""
    first, second = draw_rates(2_000_000, np.random.default_rng(seed))
    truth = {"rate": first.mean(), "difference": (second - first).mean()}
    held = dict.fromkeys(truth, 0)
    for trial in range(trials):
        world = simulate(speakers, languages, np.random.default_rng([seed, speakers, trial]))
        draws = {"samples": samples, "seed": trial}
        found: dict[str, Interval]
        if languages == 1:
            drawn = resample_speakers(*world[:3], **draws)
            found = {
                "rate": rate_interval(drawn),
                "difference": paired_difference(drawn, 1).absolute,
            }
        else:
            macro = resample_macro(*world, **draws)
            found = {
                "rate": macro_interval(macro),
                "difference": macro_difference(macro, 1).absolute,
            }
        for name, interval in found.items():
            held[name] += bool(interval.low <= truth[name] <= interval.high)
    return {name: number / trials for name, number in held.items()}


def main(cmd: Sequence[str] | None = None) -> None:
    """Time, simulate, and print both tables."""
    args = get_parser().parse_args(cmd)
    figures: dict[str, Any] = {"cores": os.cpu_count(), "machine": platform.processor()}
    with tempfile.TemporaryDirectory() as made:
        make_data(Path(made), args.utterances, args.speakers, args.seed)
        figures["seconds"] = time_commands(Path(made), args.samples)
    print(f"{args.utterances:,} pairs, {args.speakers:,} speakers, {args.samples:,} draws")
    for name, seconds in figures["seconds"].items():
        print(f"  {name:<12} {seconds:6.1f} s")
    print(f"\n95 % intervals that hold the truth, % of {args.trials:,} trials")
    print("  speakers  languages   rate  difference")
    figures["coverage"] = []
    for speakers, languages in ((10, 1), (20, 1), (50, 1), (200, 1), (40, 4), (200, 4)):
        held = coverage(speakers, languages, args.trials, args.samples, args.seed)
        figures["coverage"].append({"speakers": speakers, "languages": languages, **held})
        shares = f"{100 * held['rate']:6.1f} {100 * held['difference']:11.1f}"
        print(f"  {speakers:8} {languages:10} {shares}", flush=True)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
