"""Decode as `espnet2.bin.asr_inference` does, with this package's models among the choices.

Of the files it opens tensors alone are read, so that nothing in a checkpoint is run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from espnet2.bin import asr_inference

import espnet_otreg.tasks.asr  # noqa: F401  (registers)
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.weights import tensors_only


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's own options, and one of ours."""
    parser = asr_inference.get_parser()
    parser.add_argument(
        "--join_pieces",
        nargs="?",
        const="",
        metavar="LM",
        help="masked language model, folder or hub name, whose pieces the tokens are: the text is "
        "written in words; without a name the one that the training's config names (default: "
        "text in the tokens)",
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
    own.add_argument("--join_pieces", nargs="?")
    lm = args.join_pieces
    if lm == "":
        lm = language_model(args.asr_train_config)
    with tensors_only():
        asr_inference.main(cmd=own.parse_known_args(cmd)[1])
    if lm is not None:
        join_pieces(lm, Path(args.output_dir))


def language_model(config: str | None) -> str:
    """Return which masked language model a training's config names."""
    found: Any = yaml.safe_load(Path(config).read_text(encoding="utf-8")) if config else None
    for key in ("model_conf", "transfer_conf", "language_model"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, str):
        sys.exit(
            f"error: {config or 'no --asr_train_config'} names no model_conf.transfer_conf."
            "language_model: give its folder or hub name, --join_pieces LM"
        )
    return found


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
