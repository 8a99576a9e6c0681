"""Decode with the CTC branch alone, greedily; same files as asr_inference."""

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_chosen, write_lines
from espnet_otreg.scoring.timing import SECONDS_TABLE
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options, named as asr_inference's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--asr_train_config", type=Path, required=True, help="config.yaml")
    parser.add_argument("--asr_model_file", type=Path, required=True, help="checkpoint")
    parser.add_argument("--wav_scp", type=Path, required=True, help="`utterance path` lines")
    parser.add_argument("--key_file", type=Path, help="decode these utterances alone")
    parser.add_argument("--output_dir", type=Path, required=True, help="gets 1best_recog/")
    parser.add_argument(
        "--batch_size",
        type=int,
        default=1,
        help="utterances at a time; above 1 the convolutions of ESPnet's conformers and "
        "E-branchformers see their neighbours' padding, and some words change",
    )
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode."""
    args = get_parser().parse_args(cmd)
    run(lambda: decode(args))


def decode(args: argparse.Namespace) -> None:
    """Write `1best_recog/{text,token,seconds}`; the text's order is the table's."""
    audio = read_chosen(args.wav_scp, args.key_file)
    for needed in (args.asr_train_config, args.asr_model_file):
        if not needed.is_file():
            raise UserError(f"{needed} does not exist: train first, or check its name")
    found = {}
    for number, (utt, tokens, text, seconds) in enumerate(_decoded(args, audio), start=1):
        found[utt] = (tokens, text, seconds)
        if number % 20 == 0 or number == len(audio):
            print(f"decoded {number} of {len(audio)}", end="\r", file=sys.stderr, flush=True)
    folder = args.output_dir / "1best_recog"
    write_lines(folder / "token", [f"{utt} {' '.join(found[utt][0])}" for utt in audio])
    write_lines(folder / SECONDS_TABLE, [f"{utt} {found[utt][2]:.6f}" for utt in audio])
    write_lines(folder / "text", [f"{utt} {found[utt][1]}" for utt in audio])
    logging.info("%d utterances in %s", len(audio), folder)


def _decoded(
    args: argparse.Namespace, audio: dict[str, str]
) -> Iterator[tuple[str, list[str], str, float]]:
    """Yield utterance, tokens, text, and its share of the batch's seconds by length."""
    # torch and ESPnet take seconds to import, and `--help` needs none of them
    from espnet2.text.build_tokenizer import build_tokenizer

    from espnet_otreg.decode.batches import ctc_greedy, padded_batches
    from espnet_otreg.tasks.asr import ASRTask

    device = "cuda" if args.ngpu else "cpu"
    model, options = ASRTask.build_model_from_file(
        str(args.asr_train_config), str(args.asr_model_file), device
    )
    model.eval()
    tokenizer = build_tokenizer(token_type=options.token_type, bpemodel=options.bpemodel)
    started = time.perf_counter()  # reading the recordings counts, loading the model does not
    for batch, speech, lengths in padded_batches(audio, args.batch_size, device):
        rows = [[options.token_list[i] for i in ids] for ids in ctc_greedy(model, speech, lengths)]
        texts = [tokenizer.tokens2text(tokens) for tokens in rows]
        seconds = (time.perf_counter() - started) / int(lengths.sum())
        samples = lengths.tolist()
        for utt, tokens, text, length in zip(batch, rows, texts, samples, strict=True):
            yield utt, tokens, text, seconds * length
        started = time.perf_counter()


if __name__ == "__main__":
    main()
