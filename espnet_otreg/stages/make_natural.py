"""Make the corpus `natural`: real sentences spoken by natural synthetic voices.

    python -m espnet_otreg.stages.make_natural --texts DOWNLOADS --output DOWNLOADS/natural-en \
        --languages en

DOWNLOADS holds the Debian packages fillets-ng-data (as fillets-text), fortunes (en) and fortunes-es
(es), unpacked; and, so that no sentence equals a prompt, asterisk-<language>. Interrupted, the same
command goes on where it stopped.
"""

import argparse
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg import natural
from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument("--texts", type=Path, required=True, help="folder of unpacked packages")
    parser.add_argument(
        "--size",
        choices=list(natural.SIZES),
        default="full",
        help="smoke: seconds, by Pico's voices alone; full: about three hours; hour: a part of it; "
        "large: three times the English of full; the last three are tested on the same [full]",
    )
    parser.add_argument(
        "--languages", default="en", help=f"of {' '.join(natural.VOICES)}, or `all` [en]"
    )
    parser.add_argument(
        "--level",
        type=int,
        choices=range(natural.LEVELS),
        default=0,
        help="of pauses, noise and music, with the same sentences and speakers [0]",
    )
    parser.add_argument("--seed", type=int, default=0, help="other seed, other splits and speakers")
    parser.add_argument(
        "--jobs", type=int, default=0, help="processes; 0 means one per core; changes no sample [0]"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = get_parser().parse_args(cmd)
    run(lambda: _make(arguments))


def _make(arguments: argparse.Namespace) -> None:
    from espnet_otreg.natural.build import Request, build

    known = list(natural.VOICES)
    asked = known if arguments.languages == "all" else arguments.languages.split()
    if not asked or set(asked) - set(known):
        raise UserError(
            f"--languages {arguments.languages!r}: expected one or more of {' '.join(known)}, "
            "separated by spaces"
        )
    if arguments.jobs < 0:
        raise UserError(f"--jobs must be 0 or more, not {arguments.jobs}")
    if not arguments.texts.is_dir():
        raise UserError(f"--texts {arguments.texts} is not a folder; expected unpacked packages")
    languages = tuple(name for name in known if name in asked)
    request = Request(arguments.size, languages, arguments.level, arguments.seed)
    jobs, start = arguments.jobs or len(os.sched_getaffinity(0)), time.monotonic()
    summary = build(arguments.output, arguments.texts, request, jobs)
    if summary is None:
        logging.info("%s is complete already: nothing to do", arguments.output)
        return
    for name, made in summary.items():
        logging.info(
            "%s: %d clips, %.2f hours, %d words, %d different",
            *(name, made.clips, made.hours, made.words, made.forms),
        )
    logging.info("%s: made in %.0f s", arguments.output, time.monotonic() - start)
    logging.info("set NATURAL=%s in db.sh", arguments.output)


if __name__ == "__main__":
    main()
