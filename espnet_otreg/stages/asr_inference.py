"""Decode as `espnet2.bin.asr_inference` does, with this package's models among the choices.

Of the files it opens tensors alone are read, so that nothing in a checkpoint is run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet2.bin import asr_inference

import espnet_otreg.tasks.asr  # noqa: F401  (registers)
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.weights import tensors_only


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's own options, and one of ours."""
    parser = asr_inference.get_parser()
    parser.add_argument(
        "--join_pieces",
        metavar="LM",
        help="masked language model, folder or hub name, whose pieces the tokens are: the text is "
        "written in words (default: in the tokens)",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode; packs are opened elsewhere."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    if args.model_tag is not None:
        parser.error(
            "--model_tag opens a pack as ESPnet does, which runs what is in it: use "
            "espnet_otreg.decode.speech2text.Speech2Text.from_pretrained, which runs nothing"
        )
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--join_pieces")
    with tensors_only():
        asr_inference.main(cmd=own.parse_known_args(cmd)[1])
    if args.join_pieces is not None:
        join_pieces(args.join_pieces, Path(args.output_dir))


def join_pieces(lm: str, output: Path) -> None:
    """Write the texts of all the best answers anew, in words."""
    from espnet_otreg.pretrained.masked_lm import LMTokenizer

    join = LMTokenizer(lm).join
    for tokens in sorted(output.glob("*best_recog/token")):
        rows = read_table(tokens).items()
        lines = (f"{utt} {join(pieces.split())}".rstrip() for utt, pieces in rows)
        write_lines(tokens.with_name("text"), lines)


if __name__ == "__main__":
    main()
