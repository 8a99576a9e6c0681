"""Train a small masked language model on text of the mini grammars, in Hugging Face format."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.mini.masked_lm import REPORT, SIZES, make_masked_lm
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
        help="smoke: seconds, for tests; mini: a minute or two on one core",
    )
    parser.add_argument("--seed", type=int, default=0, help="other seed, other text and weights")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command; an interrupted one leaves nothing and starts anew."""
    args = get_parser().parse_args(cmd)
    run(lambda: _make(args))


def _make(args: argparse.Namespace) -> None:
    from espnet_otreg.pretrained.masked_lm import import_transformers

    import_transformers()
    quality = make_masked_lm(args.output, args.size, args.seed)
    if quality is not None:
        shares = " ".join(f"{lang} {share:.1%}" for lang, share in quality.by_language.items())
        logging.info(
            "%s: masked accuracy %.1f %% (%s) on %d pieces of unseen sentences; see %s",
            *(args.output, 100 * quality.accuracy, shares, quality.positions),
            args.output / REPORT,
        )


if __name__ == "__main__":
    main()
