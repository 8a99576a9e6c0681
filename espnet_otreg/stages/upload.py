"""Stage 15: put a packed model on the Hugging Face hub, if its user is logged in there."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--pack", type=Path, required=True, help="file of espnet_otreg.stages.pack")
    parser.add_argument("--repo", required=True, help="user/name; made if it is not there")
    parser.add_argument("--private", action="store_true", help="where the repository is made")
    parser.add_argument("--dry_run", action="store_true", help="list files and sizes, send nothing")
    parser.add_argument(
        "--required",
        action="store_true",
        help="not being logged in is an error; else it is told and nothing happens",
    )
    return parser


def main(cmd: Sequence[str] | None = None, api: Any = None) -> None:
    """Upload."""
    args = get_parser().parse_args(cmd)
    run(lambda: send(args, api))


def send(args: argparse.Namespace, api: Any) -> None:
    """List, or upload through `api`, by default the hub's own."""
    from espnet_otreg.errors import UserError
    from espnet_otreg.hub.upload import NotLoggedIn, contents_of, upload

    if args.dry_run:
        files = contents_of(args.pack)
        for name, size in files:
            print(f"{size:>12,}  {name}")
        total = sum(file.size for file in files)
        print(f"{total:>12,}  bytes in {len(files)} files would go to {args.repo}")
        return
    if api is None:
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise UserError(
                "an upload needs the package huggingface_hub: pip install huggingface_hub"
            ) from error
        api = HfApi()
    try:
        done = upload(args.pack, args.repo, api, private=args.private)
    except NotLoggedIn as error:
        if args.required:
            raise
        logging.warning("nothing was uploaded: %s", error)
        return
    logging.info("%d files at %s, by %s", len(done.files), done.url, done.user)


if __name__ == "__main__":
    main()
