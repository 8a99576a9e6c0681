"""Probe an ESPnet encoder layer by layer: can voice, rate, pitch and noise still be read from it?

On mini corpora, whose conditions are known. A layer from which nothing can be read makes a speech
language model that cannot overfit to its training domain, and so shows nothing.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.stages.command import run

CONDITIONS = {"rate_wpm": "rate", "pitch": "pitch", "snr_db": "noise"}


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--experiment", required=True, help="folder of a trained recogniser")
    parser.add_argument("--checkpoint", default="valid.acc.ave.pth", help="file in it")
    parser.add_argument("--layers", type=int, nargs="+", required=True, help="blocks, from 1")
    parser.add_argument("--data", type=Path, required=True, help="data directory of many voices")
    parser.add_argument(
        "--conditions", type=Path, required=True, help="word_times.jsonl of the mini corpora"
    )
    parser.add_argument("--clips", type=int, default=400, help="recordings, evenly spread")
    parser.add_argument("--output", type=Path, required=True, help="Markdown table")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Write the table, and print it."""
    args = get_parser().parse_args(cmd)
    run(lambda: probe(args))


def probe(args: argparse.Namespace) -> None:
    """Fit and test probes on every layer."""
    audio = read_table(args.data / "wav.scp")
    step = max(1, len(audio) // args.clips)
    utts = list(audio)[::step][: args.clips]
    conditions = _conditions(args.conditions, args.data, utts)
    voices = [conditions[utt]["voice"] for utt in utts]
    lines = [
        f"| layer of {len(utts)} recordings | voice (of {len(set(voices))}) | "
        + " | ".join(f"{name} (R²)" for name in CONDITIONS.values())
        + " |",
        "|---|" + "---:|" * (1 + len(CONDITIONS)),
    ]
    for layer in args.layers:
        lines.append(
            f"| {layer} | {_row(args, layer, [audio[u] for u in utts], utts, conditions)} |"
        )
    write_lines(args.output, lines)
    print("\n".join(lines))


def _row(
    args: argparse.Namespace,
    layer: int,
    paths: Sequence[str],
    utts: Sequence[str],
    conditions: dict[str, dict[str, Any]],
) -> str:
    import numpy as np
    import torch

    import espnet_otreg.tasks.asr  # noqa: F401 - tells ESPnet of our models
    from espnet_otreg.decode.batches import padded_batches
    from espnet_otreg.measure.probe import explained, pooled, recognised
    from espnet_otreg.pretrained.espnet_speech import ESPnetSpeechEncoder

    encoder = ESPnetSpeechEncoder(1, args.experiment, args.checkpoint, layer).eval()
    described = {}
    with torch.inference_mode():
        for batch, speech, lengths in padded_batches(dict(zip(utts, paths, strict=True)), 8, "cpu"):
            frames, counts, _ = encoder(speech, lengths)
            for utt, row, count in zip(batch, frames, counts.tolist(), strict=True):
                described[utt] = pooled(row[:count].numpy())
    features = np.stack([described[utt] for utt in utts])
    voice = recognised(features, [conditions[utt]["voice"] for utt in utts])
    rest = [
        explained(features, [float(conditions[utt][name]) for utt in utts]) for name in CONDITIONS
    ]
    return " | ".join([f"{100 * voice:.0f} %", *(f"{value:.2f}" for value in rest)])


def _conditions(path: Path, data: Path, utts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Find the clips of these utterances, {corpus}-{language}-{split}-{clip}, in their corpus."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; only the mini corpora come with their conditions")
    wanted = set(utts)
    found = {}
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            record = json.loads(line)
            utt = "-".join(record[key] for key in ("corpus", "lang", "split", "clip"))
            if utt in wanted:
                found[utt] = record
    lost = [utt for utt in utts if utt not in found]
    if lost:
        raise UserError(f"{path} lacks {len(lost)} recordings of {data}, first {lost[0]}")
    return found


if __name__ == "__main__":
    main()
