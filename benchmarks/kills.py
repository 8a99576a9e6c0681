#!/usr/bin/env python3
r"""Recipes killed without warning, against the same recipes left alone.

For each script of egs2/covost2_otreg, at the smallest size: one run from nothing to the end, the
reference. Then, in another folder, runs of the same command in which every process is ended by
SIGKILL, and the same command again, until it is left to end. Kills are drawn uniformly over the
reference's time; an aimed one waits until a drawn training writes its checkpoints. What the
killed runs made has to be the reference's: every weight, every hypothesis, every number of the
tables; nothing half-written may be left, nor a process.

A kill is drawn as a step and the seconds after its start, not as seconds of the clock, so that
kills reach the last steps however much work each one costs. Those of a script are spread over
series, each from an empty folder on, mini corpora included.

    python benchmarks/kills.py                    # 40 kills, ten of them aimed
    python benchmarks/kills.py --kills 0          # a second run left alone: is it the same?
"""

import argparse
import bisect
import json
import math
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from killed_run import OPTIONS, RECIPE, Kill, Run, copy_recipe, processes, trains

SERIES = 7  # kills from one empty folder on, at most
WRITES = 12  # an aimed kill waits for at most so many new files of checkpoints
# Keys of results that tell of the run and its machine
OF_THE_RUN = {"made", "provenance", "run", "timings"}
OF_THE_RUN_ALONE = ("run.json", "timing.json", "model.json")


def main(cmd: Sequence[str] | None = None) -> None:
    """Print a line per kill, and what differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--aimed", type=int, default=10, help="of these, at checkpoints [10]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scripts", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--folder", type=Path, help="keeps what the runs made [temporary]")
    args = parser.parse_args(cmd)
    if not 0 <= args.aimed <= args.kills:
        sys.exit(f"error: --aimed {args.aimed}: expected 0 to --kills {args.kills}")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    chance = random.Random(args.seed)
    print("| script | kill | aimed at | what was running | status of the rerun |")
    print("|---|---|---|---|---|")
    spent: list[Kill] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kills") as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        for place, script in enumerate(args.scripts):
            trial = Trial(script, folder / Path(script).stem)
            shares = [_share(n, place, len(args.scripts)) for n in (args.kills, args.aimed)]
            trial.run(trial.draw(chance, *shares))
            spent += trial.spent
            problems += trial.problems
    aimed = sum(kill.writes > 0 for kill in spent)
    end = f"{len(problems)} problems" if problems else "everything equal to runs left alone"
    print(f"{len(spent)} kills, {aimed} of them aimed at checkpoints: {end}")
    sys.exit(bool(problems) or len(spent) < args.kills)


def _share(number: int, place: int, of: int) -> int:
    return number // of + (place < number % of)


class Trial:
    """A script left alone once, and killed again and again."""

    def __init__(self, script: str, folder: Path) -> None:
        self.script = script
        self.reference, self.killed = folder / "reference", folder / "killed"
        self.spent: list[Kill] = []
        self.problems: list[str] = []
        run = Run(script, copy_recipe(self.reference))
        status = run.end()
        self.seconds = time.monotonic() - run.since
        self.steps = run.begun
        print(f"{script}: {self.seconds:.0f} s and {len(self.steps)} steps when left alone")
        if status:
            sys.exit(f"error: {script} failed when left alone: {run.last_words()}")

    def draw(self, chance: random.Random, kills: int, aimed: int) -> list[Kill]:
        """Draw moments, uniformly over the reference's time, and trainings to aim at."""
        starts = [0.0, *(step.at for step in self.steps)]
        drawn = []
        for _ in range(kills - aimed):
            moment = chance.uniform(0, self.seconds)
            step = bisect.bisect_right(starts, moment) - 1
            drawn.append(Kill(step - 1, moment - starts[step]))
        trainings = [i for i, step in enumerate(self.steps) if trains(step)]
        for _ in range(aimed):
            drawn.append(Kill(chance.choice(trainings), 0.0, chance.randint(1, WRITES)))
        chance.shuffle(drawn)
        return drawn

    def run(self, kills: list[Kill]) -> None:
        """Spend kills in series, each from nothing to the end; compare every end."""
        number = max(1, math.ceil(len(kills) / SERIES))
        waiting = [sorted(kills[start::number]) for start in range(number)]
        while waiting:
            before = len(self.spent)
            left = self._series(waiting.pop(0))
            if left and len(self.spent) > before:
                waiting.append(left)  # the run ended before them
            elif left:
                self._problem(f"{len(left)} kills came after the end")

    def _series(self, kills: list[Kill]) -> list[Kill]:
        """Kill and run again, then to the end; return the kills that were not spent."""
        recipe = copy_recipe(self.killed)
        order = {step.name: place for place, step in enumerate(self.steps)}
        row = ""
        while True:
            run = Run(self.script, recipe)
            seen = run.until(kills[0], order) if kills else None
            if seen is None:
                break
            run.kill()
            if row:
                print(f"{row} | killed too |")
            kill = kills.pop(0)
            self.spent.append(kill)
            aim = f"write {kill.writes} of a checkpoint" if kill.writes else "any moment"
            row = f"| {self.script} | {len(self.spent)} | {aim} | {seen}"
        status = run.end()
        if row:
            print(f"{row} | {status} |")
        if status:
            self._problem(f"status {status} after {len(self.spent)} kills: {run.last_words()}")
            return kills
        for text in (*different(self.reference, self.killed), *left_over(self.killed)):
            self._problem(text)
        print(f"{self.script}: a series is over, {len(self.problems)} problems so far")
        return kills

    def _problem(self, text: str) -> None:
        self.problems.append(text)
        print(f"PROBLEM {self.script}: {text}")


def different(reference: Path, other: Path) -> Iterator[str]:
    """Name what two folders of results differ in: weights, hypotheses, numbers of tables."""
    recipes = [home / "egs2" / RECIPE for home in (reference, other)]
    for pattern, read in (
        ("exp/asr_*/*.pth", _weights),
        ("exp/asr_*/decode_*/*/text", Path.read_bytes),
        ("exp/**/*.json", _numbers),
    ):
        ours, theirs = (
            {str(p.relative_to(r)) for p in r.glob(pattern) if _is_result(p)} for r in recipes
        )
        for name in sorted(ours ^ theirs):
            yield f"{name} is only {'in the reference' if name in ours else 'where it was killed'}"
        for name in sorted(ours & theirs):
            if read(recipes[0] / name) != read(recipes[1] / name):
                yield f"{name} differs"
        if not ours:
            yield f"the reference has no {pattern}"


def left_over(home: Path) -> Iterator[str]:
    """Name half-written files and processes that are left when all is over."""
    for path in sorted((home / "egs2").rglob("*")):
        if path.suffix in (".part", ".tmp") or re.fullmatch(r"\..*\.\d+", path.name):
            yield f"{path.relative_to(home)} is left"
    until = time.monotonic() + 5
    while (found := processes(home)) and time.monotonic() < until:
        time.sleep(0.1)
    for number in found:
        yield f"process {number} is left: {Path(f'/proc/{number}/cmdline').read_bytes()!r}"


def _is_result(path: Path) -> bool:
    return path.name not in OF_THE_RUN_ALONE and not {".steps", ".stamps.json"} & set(path.parts)


def _weights(path: Path) -> dict[str, Any]:
    """Read a model as bytes; of a resume point it matters whether it is there."""
    if path.name.startswith("checkpoint"):
        return {}
    states = torch.load(path, map_location="cpu", weights_only=True)
    return {
        name: (value.dtype, value.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        if isinstance(value, torch.Tensor)
        else value
        for name, value in states.items()
    }


def _numbers(path: Path) -> Any:
    return _told(json.loads(path.read_text(encoding="utf-8")))


def _told(value: Any) -> Any:
    """Leave out what belongs to the run, not to its results."""
    if isinstance(value, dict):
        return {key: _told(item) for key, item in value.items() if key not in OF_THE_RUN}
    return [_told(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
