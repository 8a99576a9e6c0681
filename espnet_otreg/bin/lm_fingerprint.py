"""Print a hash of a language model's weights and tokenizer, which all made with it rests on."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.bin.cli import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--lm", required=True, help="language model: a folder or a hub name")
    parser.add_argument(
        "--missing_ok", action="store_true", help="print nothing where there is no such folder"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Print one line."""
    args = get_parser().parse_args(cmd)
    run(lambda: _print(args))


def _print(args: argparse.Namespace) -> None:
    if args.missing_ok and not Path(args.lm).is_dir():
        return
    from espnet_otreg.models.lm_cache import fingerprint

    print("-".join(fingerprint(args.lm)))


if __name__ == "__main__":
    main()
