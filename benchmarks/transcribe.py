#!/usr/bin/env python3
r"""What `espnet-otreg transcribe` takes and hits: speed, the first word, and where words begin.

In a recipe's folder, with a trained model and a data directory of mini corpora:

    python ../../benchmarks/transcribe.py exp/asr_train_otreg_seed1_* dump/raw/org/covost2_test \
        --word_times ../downloads/mini-*/word_times.jsonl

Speed: recordings one at a time through stock ESPnet's Speech2Text as it comes (beam search), and
all of them through ours, in rounds that alternate. Cold start: seconds from the start of a process
to the first line, of one recording. Boundaries: of the true words of each text, aligned by the
model, the distances of starts and ends from the true ones.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from espnet_otreg.files import read_table
from espnet_otreg.transcribe import running
from espnet_otreg.transcribe.opening import Asked, open_model
from espnet_otreg.transcribe.recordings import Recording

AIM, FIRST, BOUNDARY = 5.0, 10.0, 80.0  # times stock's speed; seconds; milliseconds


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="an experiment's folder")
    parser.add_argument("data", type=Path, help="data directory")
    parser.add_argument("--word_times", type=Path, help="word_times.jsonl [no boundaries]")
    parser.add_argument("--utterances", type=int, default=100, help="[100]")
    parser.add_argument("--stock_utterances", type=int, default=20, help="of the beam search [20]")
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--parts", nargs="+", default=["speed", "start", "boundaries"])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = get_parser().parse_args(cmd)
    audio = dict(list(read_table(args.data / "wav.scp").items())[: args.utterances])
    figures: dict[str, Any] = {"utterances": len(audio), "threads": torch.get_num_threads()}
    if "start" in args.parts:
        figures["first_line_s"] = first_line(args.model, next(iter(audio.values())))
    if "speed" in args.parts:
        figures |= speed(args, audio)
    if "boundaries" in args.parts and args.word_times:
        figures |= boundaries(args, audio)
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def first_line(model: str, path: str) -> float:
    """Seconds from a cold process to its first line."""
    command = [sys.executable, "-m", "espnet_otreg.cli", "transcribe", model, path]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.monotonic() - started
        process.wait()
    assert line.strip(), "no line came"
    return round(seconds, 2)


def speed(args: argparse.Namespace, audio: dict[str, str]) -> dict[str, Any]:
    """Recordings a second, ours and stock's."""
    from espnet2.bin.asr_inference import Speech2Text

    recogniser, _ = open_model(Asked(args.model))
    folder = Path(args.model)
    stock = Speech2Text(str(folder / "config.yaml"), str(folder / "valid.acc.ave.pth"))
    recordings = [Recording(Path(path), utt) for utt, path in audio.items()]
    few = recordings[: args.stock_utterances]
    rates: dict[str, list[float]] = {"ours": [], "stock": []}
    for _ in range(args.rounds):
        started = time.monotonic()
        count = sum(1 for _ in running.transcribe(recogniser, recordings))
        rates["ours"].append(count / (time.monotonic() - started))
        started = time.monotonic()
        for one in few:
            stock(soundfile.read(one.path, dtype="float32")[0])
        rates["stock"].append(len(few) / (time.monotonic() - started))
    found = {f"{name}_per_s": round(statistics.median(each), 2) for name, each in rates.items()}
    ratio = round(found["ours_per_s"] / found["stock_per_s"], 1)
    return {**found, "ratio": ratio, "aim": AIM, "batch_size": recogniser.batch_size}


def boundaries(args: argparse.Namespace, audio: dict[str, str]) -> dict[str, Any]:
    """Distances in milliseconds of starts and ends from the true ones."""
    from espnet_otreg.measure.truth import read_word_times

    clips = {utt: soundfile.info(path) for utt, path in audio.items()}
    seconds = {utt: clip.frames / clip.samplerate for utt, clip in clips.items()}
    truth = read_word_times(args.word_times, seconds)
    recogniser, _ = open_model(Asked(args.model))
    texts = read_table(args.data / "text")
    languages = read_table(args.data / "utt2lang")
    told = [
        running.Told(Recording(Path(path), utt), texts[utt], languages[utt])
        for utt, path in audio.items()
    ]
    away: dict[str, list[float]] = {"start": [], "end": []}
    lost = 0
    for recording, outcome in running.align(recogniser, told):
        true = truth[recording.name]
        if isinstance(outcome, str) or len(outcome.words) != len(true):
            lost += 1
            continue
        for word, spoken in zip(outcome.words, true, strict=True):
            away["start"].append(1000 * (word.start - spoken.start))
            away["end"].append(1000 * (word.end - spoken.end))
    every = np.abs(np.array(away["start"] + away["end"]))
    return {
        "words": len(away["start"]),
        "not_aligned": lost,
        "boundary_median_ms": round(float(np.median(every)), 1),
        "boundary_mean_ms": round(float(every.mean()), 1),
        "boundary_p90_ms": round(float(np.percentile(every, 90)), 1),
        "start_bias_ms": round(float(np.median(away["start"])), 1),
        "end_bias_ms": round(float(np.median(away["end"])), 1),
        "frame_ms": round(1000 * getattr(recogniser, "hop", 0) or 1000 * recogniser.space.hop, 1),
        "aim_ms": BOUNDARY,
    }


if __name__ == "__main__":
    main()
