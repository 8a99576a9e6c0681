"""Stage 10: the shape files ESPnet batches by, from counts that data preparation already knows.

ESPnet's own collect_stats runs the model's front end over all audio, which takes hours with a large
model. Sample counts are in `utt2num_samples`, token counts come from the tokenizer: no model, no
audio. Only `--feats_normalize global_mvn` still needs ESPnet's pass.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Options of stage 10."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", nargs="+", required=True, help="data directories (dump/raw/...)")
    parser.add_argument(
        "--text",
        nargs="+",
        help="the text that is trained on, a file per data directory (default: text in each); an "
        "utterance it lacks is listed in rejected.tsv and not trained on",
    )
    parser.add_argument("--token_list", required=True, help="tokens.txt of stage 5")
    parser.add_argument("--token_type", choices=["bpe", "char", "word"], default="bpe")
    parser.add_argument("--bpemodel", help="bpe.model of stage 5, for --token_type bpe")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate of the data")
    parser.add_argument(
        "--frames_per_second",
        type=float,
        default=20.0,
        help="of the encoder; an utterance with more tokens than frames cannot be learnt by CTC: "
        "it is listed in rejected.tsv and not trained on",
    )
    parser.add_argument("--output", required=True, help="folder; a subfolder per data directory")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Write `speech_shape` and `text_shape` for every data directory."""
    args = get_parser().parse_args(cmd)
    run(lambda: write_shapes(args))


def write_shapes(args: argparse.Namespace) -> None:
    """Count samples and tokens of every utterance."""
    tokens = len(Path(args.token_list).read_text(encoding="utf-8").splitlines())
    tokenise = tokeniser(args.token_type, args.bpemodel)
    files = args.text or [f"{folder}/text" for folder in args.data]
    if len(files) != len(args.data):
        raise UserError(f"--text names {len(files)} files for {len(args.data)} data directories")
    for folder, file in zip(map(Path, args.data), map(Path, files), strict=True):
        samples = read_table(folder / "utt2num_samples")
        texts = read_table(file)
        lost = samples.keys() - texts.keys() if file.parent != folder else set()
        if samples.keys() - lost != texts.keys():
            odd = sorted(samples.keys() ^ texts.keys())
            raise UserError(
                f"{folder}: utt2num_samples and {file} differ in {len(odd)} utterances, "
                f"first {odd[0]}: run stages 3 to 5 again"
            )
        lengths, needed = {}, {}
        for utt, text in texts.items():
            pieces = tokenise(text)
            lengths[utt] = len(pieces)
            # CTC separates equal neighbours by a blank
            needed[utt] = len(pieces) + sum(a == b for a, b in pairwise(pieces))
        frames = {utt: int(int(n) / args.fs * args.frames_per_second) for utt, n in samples.items()}
        kept = [utt for utt in texts if needed[utt] <= frames[utt]]
        if not kept:
            raise UserError(f"{folder}: every utterance has more tokens than frames; check --fs")
        output = Path(args.output) / folder.name
        write_lines(output / "speech_shape", [f"{utt} {samples[utt]}" for utt in kept])
        write_lines(output / "text_shape", [f"{utt} {lengths[utt]},{tokens}" for utt in kept])
        rejected = [
            f"{utt}\t{needed[utt]} tokens and blanks between equal ones for {frames[utt]} frames"
            for utt in sorted(texts.keys() - set(kept))
        ]
        rejected += [f"{utt}\tnot in {file}" for utt in sorted(lost)]
        write_lines(output / "rejected.tsv", rejected)
        logging.info(
            "%s: %d utterances, %d left out (more tokens than frames, or no tokens), listed in %s",
            *(folder.name, len(kept), len(rejected), output / "rejected.tsv"),
        )


def tokeniser(kind: str, bpemodel: str | None) -> Callable[[str], Sequence[int] | Sequence[str]]:
    """Return the function that splits a sentence into tokens."""
    if kind == "char":
        return str
    if kind == "word":
        return str.split
    import sentencepiece

    if not bpemodel:
        raise UserError("--token_type bpe needs --bpemodel, the bpe.model of stage 5")

    if not Path(bpemodel).is_file():
        raise UserError(f"{bpemodel} does not exist: run stage 5 (token list) first")
    return sentencepiece.SentencePieceProcessor(model_file=bpemodel).encode


if __name__ == "__main__":
    main()
