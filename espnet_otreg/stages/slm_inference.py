"""Write down speech with a speech language model; same files as asr_inference, and one more.

`1best_recog/` gets text, token, seconds, and shortening: what compression made of each utterance.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_chosen, read_table, write_lines
from espnet_otreg.scoring.timing import SECONDS_TABLE
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options, named as asr_inference's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--asr_train_config", type=Path, required=True, help="config.yaml")
    parser.add_argument("--asr_model_file", type=Path, required=True, help="checkpoint")
    parser.add_argument(
        "--wav_scp",
        type=Path,
        required=True,
        help="`utterance path` lines: recordings, or .npy frames made by speech_features",
    )
    parser.add_argument("--utt2lang", type=Path, help="`utterance code` lines, for the prompt")
    parser.add_argument("--language", help="one code for all, in place of --utt2lang")
    parser.add_argument("--key_file", type=Path, help="decode these utterances alone")
    parser.add_argument("--output_dir", type=Path, required=True, help="gets 1best_recog/")
    parser.add_argument(
        "--batch_size", type=int, default=8, help="utterances at a time; changes speed alone"
    )
    parser.add_argument("--beam_size", type=int, default=1, help="1: greedy")
    parser.add_argument(
        "--ctc_weight",
        type=float,
        default=0.0,
        help="share of CTC in an answer's score, of a model that learnt it: 0 to 1",
    )
    parser.add_argument(
        "--max_new_tokens", type=int, default=200, help="longest answer; what it cuts off is told"
    )
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode."""
    args = get_parser().parse_args(cmd)
    run(lambda: decode(args))


def decode(args: argparse.Namespace) -> None:
    """Write the tables; their order is that of --wav_scp or --key_file."""
    audio = read_chosen(args.wav_scp, args.key_file)
    languages = _languages(args, audio)

    from espnet_otreg.decode.slm import SpeechLanguageModel, Transcription

    listener = SpeechLanguageModel.from_files(
        args.asr_train_config, args.asr_model_file, device="cuda" if args.ngpu else "cpu"
    )
    utts = list(audio)
    found: dict[str, Transcription] = {}
    finished: dict[str, float] = {}  # by utterance, in the order of decoding
    started = time.monotonic()
    for place, answer in listener.stream(
        list(audio.values()),
        languages,
        batch_size=args.batch_size,
        beam_size=args.beam_size,
        max_new_tokens=args.max_new_tokens,
        ctc_weight=args.ctc_weight,
    ):
        found[utts[place]] = answer
        finished[utts[place]] = time.monotonic() - started
        print(f"decoded {len(found)} of {len(utts)}", end="\r", file=sys.stderr, flush=True)
    seconds = time.monotonic() - started
    folder = args.output_dir / "1best_recog"
    write_lines(folder / "token", [f"{utt} {' '.join(found[utt].tokens)}" for utt in utts])
    write_lines(
        folder / "shortening",
        [
            f"{utt} {json.dumps({**found[utt].shortening._asdict(), 'capped': found[utt].capped})}"
            for utt in utts
        ],
    )
    shares = _shares(finished, args.batch_size)
    write_lines(folder / SECONDS_TABLE, [f"{utt} {shares[utt]:.6f}" for utt in utts])
    write_lines(folder / "text", [f"{utt} {found[utt].text}" for utt in utts])
    logging.info(
        "%d utterances in %s, %.1f a second", len(utts), folder, len(utts) / max(seconds, 1e-9)
    )


def _shares(finished: Mapping[str, float], size: int) -> dict[str, float]:
    """Share the seconds of each batch out evenly, since a batch is of utterances as long."""
    utts, times = list(finished), list(finished.values())
    shares: dict[str, float] = {}
    before = 0.0
    for start in range(0, len(utts), size):
        batch = utts[start : start + size]
        after = times[start + len(batch) - 1]
        shares |= dict.fromkeys(batch, (after - before) / len(batch))
        before = after
    return shares


def _languages(args: argparse.Namespace, audio: dict[str, str]) -> list[str | None]:
    if args.language is not None or args.utt2lang is None:
        return [args.language] * len(audio)
    table = read_table(args.utt2lang)
    lost = [utt for utt in audio if utt not in table]
    if lost:
        raise UserError(f"{args.utt2lang} lacks {len(lost)} utterances, first {lost[0]}")
    return [table[utt] for utt in audio]


if __name__ == "__main__":
    main()
