"""Let a folder be found under another name, as tables look for decodings of one name."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, required=True, help="folder that is there")
    parser.add_argument("--output", type=Path, required=True, help="its other name")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Link."""
    args = get_parser().parse_args(cmd)
    run(lambda: link(args.target, args.output))


def link(target: Path, output: Path) -> None:
    """Replace a link of an earlier run, never a folder."""
    if output.exists() and not output.is_symlink():
        raise UserError(f"{output} is no link: it would hide {target}; move it away")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    output.symlink_to(os.path.relpath(target, output.parent))


if __name__ == "__main__":
    main()
