"""Write down speech with a pretrained Whisper as it came; same files as asr_inference."""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
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
    parser.add_argument("--model", required=True, help="folder or hub name of the Whisper")
    parser.add_argument("--wav_scp", type=Path, required=True, help="`utterance path` lines")
    parser.add_argument("--utt2lang", type=Path, required=True, help="`utterance code` lines")
    parser.add_argument("--key_file", type=Path, help="decode these utterances alone")
    parser.add_argument("--output_dir", type=Path, required=True, help="gets 1best_recog/")
    parser.add_argument(
        "--batch_size", type=int, default=8, help="utterances at a time; changes speed alone"
    )
    parser.add_argument("--max_new_tokens", type=int, default=200, help="longest answer")
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode."""
    args = get_parser().parse_args(cmd)
    run(lambda: decode(args))


def decode(args: argparse.Namespace) -> None:
    """Write `1best_recog/{text,seconds}`; the text's order is the table's."""
    audio = read_chosen(args.wav_scp, args.key_file)
    codes = read_table(args.utt2lang)
    lost = [utt for utt in audio if utt not in codes]
    if lost:
        raise UserError(f"{args.utt2lang} lacks {len(lost)} utterances, first {lost[0]}")

    from espnet_otreg.decode.whisper import Whisper

    whisper = Whisper(args.model, "cuda" if args.ngpu else "cpu")
    utts = list(audio)
    found: dict[str, str] = {}
    started = time.monotonic()
    for place, text in whisper.stream(
        list(audio.values()),
        [codes[utt] for utt in utts],
        batch_size=args.batch_size,
        max_new_tokens=args.max_new_tokens,
    ):
        found[utts[place]] = text
        print(f"decoded {len(found)} of {len(utts)}", end="\r", file=sys.stderr, flush=True)
    seconds = time.monotonic() - started
    folder = args.output_dir / "1best_recog"
    # every input is padded to the same window, so all take as long
    share = seconds / max(len(utts), 1)
    write_lines(folder / SECONDS_TABLE, [f"{utt} {share:.6f}" for utt in utts])
    write_lines(folder / "text", [f"{utt} {found[utt]}" for utt in utts])
    logging.info("%d utterances in %s, %.1f a second", len(utts), folder, len(utts) / seconds)


if __name__ == "__main__":
    main()
