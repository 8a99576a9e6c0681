"""Make small corpora of synthetic speech in the layouts of the real ones."""

import argparse
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.mini.domains import DOMAINS, EVERY, LANGUAGES_OF, SIZES
from espnet_otreg.mini.lexicon import LANGUAGES
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="download folder to fill")
    parser.add_argument(
        "--size",
        choices=list(SIZES),
        default="mini",
        help="smoke: seconds, for tests; mini: hours of speech; wide: mini, with larger tests; "
        "large: tens of hours",
    )
    parser.add_argument("--languages", default="all", help="separated by spaces, or `all`")
    parser.add_argument(
        "--corpora",
        default=" ".join(DOMAINS),
        help="separated by spaces; further ones: "
        f"{' '.join(name for name in EVERY if name not in DOMAINS)}",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="other seed, other sentences and voices"
    )
    parser.add_argument(
        "--jobs", type=int, default=0, help="processes; 0 means one per core; changes no sample"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = get_parser().parse_args(cmd)
    run(lambda: _make(arguments))


def _make(arguments: argparse.Namespace) -> None:
    from espnet_otreg.mini.build import Request, build

    languages = _choose(arguments.languages, LANGUAGES, "--languages")
    corpora = _choose(arguments.corpora, tuple(EVERY), "--corpora")
    for corpus in corpora:
        spoken = LANGUAGES_OF.get(corpus, languages)
        if not set(spoken) & set(languages):
            raise UserError(
                f"{corpus} is in {' '.join(spoken)} alone, and --languages is "
                f"{arguments.languages!r}: add that language or leave the corpus out"
            )
    if arguments.jobs < 0:
        raise UserError(f"--jobs must be 0 or more, not {arguments.jobs}")
    jobs = arguments.jobs or len(os.sched_getaffinity(0))
    start = time.monotonic()
    request = Request(arguments.size, languages, corpora, arguments.seed)
    summary = build(arguments.output, request, jobs)
    if summary is None:
        logging.info("%s is complete already: nothing to do", arguments.output)
        return
    logging.info(
        "%s: %d clips, %.2f hours, words %s, in %.0f s",
        arguments.output,
        summary.clips,
        summary.hours,
        " ".join(f"{lang} {count}" for lang, count in summary.words.items()),
        time.monotonic() - start,
    )


def _choose(given: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """The known names among those given, in the order of `known`; `all` is every one."""
    names = list(known) if given == "all" else given.split()
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise UserError(
            f"{option} {given!r}: expected one or more of {' '.join(known)}, separated by spaces"
        )
    return tuple(name for name in known if name in names)


if __name__ == "__main__":
    main()
