#!/usr/bin/env python3
r"""Stages 1 and 3 on a CoVoST-2-shaped tree of MP3 clips, against what two cores can do at best.

The best is the same clips decoded, resampled, encoded and written by two processes with nothing
around it. Rounds of both alternate on a sample; the figure is the median of their ratios. Ratios of
processor time stand beside it: they hardly depend on what else the machine does. The whole tree is
then prepared twice, for the time of a run that finds everything done and for the memory of the
largest process, compared with a quarter of the tree. The clips are hard links to a few hundred
different ones.

    python benchmarks/prepare.py                   # 20,000 clips; 2.5 GB; minutes
    python benchmarks/prepare.py --clips 1000 --sample 400 --folder prepared
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

RATE, TARGET_RATE = 48000, 16000  # of Common Voice 4, and after stage 3
DIFFERENT = 300
SECONDS = (2.0, 7.0)
JOBS = 2
RATIO_AIM, SECOND_RUN_AIM, GROWTH_AIM = 0.9, 2.0, 5.0  # of the best, seconds, MB per 1,000 clips
RELEASE = "cv-corpus-4-2019-12-10"


class Run(NamedTuple):
    """What one command took."""

    seconds: float
    cpu: float  # seconds of processor time, workers included
    peak: float  # MB of the largest process


def main(cmd: Sequence[str] | None = None) -> None:
    """Print the figures, and for each whether it is reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=20000)
    parser.add_argument("--sample", type=int, default=5000, help="clips of a round [5000]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keeps the clips for another time [temporary]")
    args = parser.parse_args(cmd)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        different = make_clips(folder / "different")
        load = os.getloadavg()[0]
        print(f"{platform.processor() or platform.machine()}, load {load:.1f} before the start")
        compare_rates(folder, different, args.sample, args.rounds)
        quarter = prepare(make_tree(folder / "quarter", different, args.clips // 4))
        tree = make_tree(folder / "whole", different, args.clips)
        whole = prepare(tree)
        again = prepare(tree)
        seconds = again.seconds
        report(f"second run of stages 1 and 3, {args.clips} clips, s", seconds, SECOND_RUN_AIM)
        growth = (whole.peak - quarter.peak) / (args.clips * 0.75 / 1000)
        print(f"largest process: {quarter.peak:.0f} MB, then {whole.peak:.0f} MB for four times")
        report("memory that grows with the tables, MB per 1,000 clips", growth, GROWTH_AIM)


def report(name: str, value: float, most: float) -> None:
    """Print a figure that must not be above its aim."""
    print(f"{name}: {value:.2f} (aim {most:g}) {'reached' if value <= most else 'missed'}")


def make_clips(folder: Path) -> list[Path]:
    """Write MP3 clips of different lengths, as loud and as easy to compress as speech."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{n}.mp3" for n in range(DIFFERENT)]
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        length = int(rng.uniform(*SECONDS) * RATE)
        pitch = rng.uniform(90, 250) * (1 + 0.1 * np.sin(np.arange(length) / RATE * 3))
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        voice = sum(np.sin(k * phase) / k for k in range(1, 15))
        envelope = 0.5 + 0.5 * np.sin(np.arange(length) / RATE * 2 * np.pi * 4)
        signal = 0.1 * voice * envelope + rng.normal(scale=0.003, size=length)
        if not path.is_file():
            soundfile.write(path, signal, RATE, format="MP3", subtype="MPEG_LAYER_III")
    return paths


def make_tree(root: Path, different: Sequence[Path], clips: int) -> Path:
    """Lay out a CoVoST-2 of one language and split."""
    shutil.rmtree(root, ignore_errors=True)
    home = root / RELEASE / "en"
    (home / "clips").mkdir(parents=True)
    names = [f"common_voice_en_{17_000_000 + n}.mp3" for n in range(clips)]
    with (
        open(home / "validated.tsv", "w", encoding="utf-8") as sentences,
        open(root / "covost_v2.en_de.tsv", "w", encoding="utf-8") as splits,
    ):
        sentences.write("client_id\tpath\tsentence\tup_votes\n")
        splits.write("path\ttranslation\tsplit\n")
        for n, name in enumerate(names):
            os.link(different[n % len(different)], home / "clips" / name)
            text = f"Sentence number {n} has about as many words as others have."
            sentences.write(f"{n % 997:0128x}\t{name}\t{text}\t2\n")
            splits.write(f"{name}\tSatz {n} auf Deutsch.\ttrain\n")
    return root


def prepare(root: Path) -> Run:
    """Run stages 1 and 3 as the recipes do."""
    first = command(
        *("espnet_otreg.stages.prepare_data", "--corpus", "covost2", "--root", root),
        *("--languages", "en", "--splits", "train", "--output", root / "data"),
    )
    second = command(
        *("espnet_otreg.stages.format_audio", "--input", root / "data/covost2_train"),
        *("--output", root / "dump", "--nj", JOBS),
    )
    seconds, cpu = first.seconds + second.seconds, first.cpu + second.cpu
    return Run(seconds, cpu, max(first.peak, second.peak))


def command(*arguments: object) -> Run:
    """Run a module in a process of its own."""
    start = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-m", *map(str, arguments)], stderr=quiet)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} failed; run it by hand: {arguments}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(time.perf_counter() - start, cpu, usage.ru_maxrss / 1024)


def compare_rates(folder: Path, different: Sequence[Path], sample: int, rounds: int) -> None:
    """Alternate the pipeline and the best that two processes can do."""
    ratios, cpu_ratios = [], []
    for number in range(rounds):
        root = make_tree(folder / "sample", different, sample)
        clips = sorted((root / RELEASE / "en/clips").iterdir())
        best, ours = convert_plainly(clips, root / "plain"), prepare(root)
        ratios.append(best.seconds / ours.seconds)
        cpu_ratios.append(best.cpu / ours.cpu)
        rates = f"{sample / ours.seconds:.0f} against {sample / best.seconds:.0f} clips/s"
        print(f"round {number + 1}: {rates}, {ratios[-1]:.2f}; {cpu_ratios[-1]:.2f} in CPU time")
    ratio, cpu = statistics.median(ratios), statistics.median(cpu_ratios)
    verdict = "reached" if ratio >= RATIO_AIM else "missed"
    print(f"stages 1 and 3 over the best of {JOBS} cores: {ratio:.2f} (aim {RATIO_AIM}) {verdict}")
    print(f"the same in CPU time: {cpu:.2f}")


def convert_plainly(clips: Sequence[Path], output: Path) -> Run:
    """Convert in two processes that do nothing else."""
    output.mkdir()
    start = time.perf_counter()
    children = []
    for job in range(JOBS):
        child = os.fork()
        if not child:
            for clip in clips[job::JOBS]:
                signal, rate = soundfile.read(clip, dtype="float32")
                mono = soxr.resample(signal, rate, TARGET_RATE)
                target = output / f"{clip.stem}.flac"
                soundfile.write(target, mono, TARGET_RATE, subtype="PCM_16")
            os._exit(0)
        children.append(child)
    used = [os.wait4(child, 0)[2] for child in children]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in used)
    return Run(time.perf_counter() - start, cpu, max(usage.ru_maxrss for usage in used) / 1024)


if __name__ == "__main__":
    main()
