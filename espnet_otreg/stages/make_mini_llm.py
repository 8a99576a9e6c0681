"""Train a small instruct-like language model on text of the mini grammars, for speech to enter."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.mini.causal_lm import REPORT, SIZES, make_causal_lm
from espnet_otreg.mini.causal_lm_text import ROBUSTNESS
from espnet_otreg.mini.lexicon import LANGUAGES
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    parser.add_argument(
        "--size",
        choices=list(SIZES),
        default="mini",
        help="smoke: seconds, for tests; mini: about five minutes on one core; translator: a "
        "quarter of an hour, for speech translation",
    )
    parser.add_argument(
        "--languages", default="en es", help=f"separated by spaces, of {' '.join(LANGUAGES)}"
    )
    parser.add_argument(
        "--robustness",
        choices=list(ROBUSTNESS),
        default="strong",
        help="what it has learnt to read through: sources of repeated and wrong pieces, pads and "
        "blurred embeddings; a large model is robust, so a small one in its place should be",
    )
    parser.add_argument("--seed", type=int, default=0, help="other seed, other text and weights")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command; an interrupted one leaves nothing and starts anew."""
    args = get_parser().parse_args(cmd)
    run(lambda: _make(args))


def _make(args: argparse.Namespace) -> None:
    from espnet_otreg.pretrained.masked_lm import import_transformers

    import_transformers("a causal language model", "slm")
    languages = args.languages.split()
    quality = make_causal_lm(args.output, args.size, languages, args.robustness, args.seed)
    if quality is None:
        return
    for level, scores in quality.written.items():
        told = ", ".join(
            f"{lang} {score.exact:.1%} exactly with {score.piece_errors:.1%} piece errors"
            for lang, score in scores.items()
        )
        logging.info(
            "%s: unseen sentences written down from noise %r: %s", args.output, level, told
        )
    pairs = " ".join(f"{pair} {score.exact:.1%}" for pair, score in quality.translated.items())
    told = f"translated exactly: {pairs}; " if pairs else ""
    logging.info("%s: %ssee %s", args.output, told, args.output / REPORT)


if __name__ == "__main__":
    main()
