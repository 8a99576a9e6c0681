"""Fetch a corpus that has public links, in parts, ready for stage 1.

    python -m espnet_otreg.stages.download --corpus librispeech --root DIR --parts dev-clean
    python -m espnet_otreg.stages.download --corpus mls --root DIR --parts fr es_opus
    python -m espnet_otreg.stages.download --corpus fleurs --root DIR --parts en es fr

Interrupted, the same command goes on where it stopped. What is already there is not fetched again:
the file or mark that says so is named, and to be removed if it is wrong. For corpora without a
public link it says what to fetch and where to put it.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.corpora import CORPORA
from espnet_otreg.corpora.download import BY_HAND, SERVERS, download, sources
from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Options of the download."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True, choices=sorted({**SERVERS, **BY_HAND}))
    parser.add_argument("--root", type=Path, required=True, help="folder to fill, as in db.sh")
    parser.add_argument("--parts", nargs="+", default=[], help="parts, or codes of languages")
    parser.add_argument("--server", help="folder of a mirror's files [the corpus' own server]")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Fetch the parts."""
    args = get_parser().parse_args(cmd)
    run(lambda: fetch_parts(args))


def fetch_parts(args: argparse.Namespace) -> None:
    """Look all parts up before the first is fetched."""
    variable = CORPORA[args.corpus].VARIABLE
    if args.corpus in BY_HAND:
        advice = BY_HAND[args.corpus].replace("ROOT", str(args.root))
        raise UserError(
            f"{args.corpus} has no link that a program may follow: {advice}. "
            f"Then set {variable}={args.root} in db.sh."
        )
    server = (args.server or SERVERS[args.corpus]).rstrip("/")
    parts = " ".join(args.parts).split() or [""]  # none asked for: the error lists what there is
    wanted = [source for part in parts for source in sources(args.corpus, part, server)]
    kept = 0
    for source in wanted:
        found = download(source, args.root)
        if found:
            logging.info("%s: already there, says %s", source.target, found)
        else:
            logging.info("%s: done", source.target)
        kept += found is not None
    if kept:
        logging.info("to fetch again what is already there, remove the file named and run again")
    logging.info("set %s=%s in db.sh", variable, args.root)


if __name__ == "__main__":
    main()
